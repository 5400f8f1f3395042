"""An ONNX model opened in onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from modelpress.api import Artifact, Meta, MissingDependencyError, PassError, UserError
from modelpress_plugins.onnx_graph.facts import ValueFacts, read_facts
from modelpress_plugins.onnx_graph.folder import graph_names
from modelpress_plugins.onnx_graph.graph import open_graph
from modelpress_plugins.onnx_graph.inputs import id_limits, made_inputs, numpy_type, tries
from modelpress_plugins.onnx_graph.ort import onnxruntime
from modelpress_plugins.onnx_graph.runtime import LIBRARY, USE_EXTENSIONS, unknown_operators
from modelpress_plugins.tensor_model import Feed, TensorInput

Array = npt.NDArray[np.generic]
CPU = "CPUExecutionProvider"
_OF_DEVICE = {
    "gpu": (
        "CUDAExecutionProvider",
        "DmlExecutionProvider",
        "ROCMExecutionProvider",
        "WebGpuExecutionProvider",
    ),
    "npu": ("QNNExecutionProvider", "OpenVINOExecutionProvider", "VitisAIExecutionProvider"),
}
_MODES = {"ORT_SEQUENTIAL": 0, "ORT_PARALLEL": 1}
_SILENT = 4
"""What goes wrong is raised, too."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a session is opened: Olive's inference_settings, and what belongs to the model.

    options: session_options; providers: their options by name
    """

    options: Mapping[str, object]
    providers: Mapping[str, Mapping[str, object]]
    extensions: bool = False
    initializers: Path | None = None
    constants: Path | None = None
    library: Path | None = None
    meta: Meta = field(default_factory=Meta)

    @classmethod
    def of(cls, model: Artifact) -> Settings:
        extra = model.meta.extra
        told = extra.get("inference_settings")
        told = told if isinstance(told, Mapping) else {}
        options = told.get("session_options")

        def file(option: str) -> Path | None:
            name = extra.get(option)
            return model.path / name if isinstance(name, str) and name else None

        return cls(
            options if isinstance(options, Mapping) else {},
            _providers(told),
            extra.get(USE_EXTENSIONS) is True,
            file("external_initializers_file_name"),
            file("constant_inputs_file_name"),
            file(LIBRARY),
            model.meta,
        )


PLAIN = Settings({}, {})


def _providers(told: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    named, options = told.get("execution_provider"), told.get("provider_options")
    names = [named] if isinstance(named, str) else list(named) if isinstance(named, list | tuple) else []
    every = (
        [options]
        if isinstance(options, Mapping)
        else list(options)
        if isinstance(options, list | tuple)
        else []
    )
    found: dict[str, Mapping[str, object]] = {}
    for index, name in enumerate(names):
        own = every[index] if index < len(every) else None
        found[str(name)] = own if isinstance(own, Mapping) else {}
    return found


class OnnxModel:
    """The LoadedModel of the format onnx: a TensorModel."""

    def __init__(self, model: Artifact, device: str) -> None:
        self._model = model
        self._names = graph_names(model.path, model.format, model.meta)
        self._settings = Settings.of(model)
        self._provider = ""
        self._parts: list[OnnxPart] = []
        self.parts_on(provider_for(device))

    def parts_on(self, execution_provider: str) -> Sequence[OnnxPart]:
        """For TensorModel. They are opened anew when they run elsewhere."""
        if execution_provider != self._provider:
            self.close()
            self._parts = [
                OnnxPart(self._model.path / name, execution_provider, self._settings) for name in self._names
            ]
            self._provider = execution_provider
        return self._parts

    def close(self) -> None:
        self._parts = []
        self._provider = ""


class OnnxPart:
    """One graph in a session: a TensorPart."""

    def __init__(self, file: Path, provider: str, settings: Settings = PLAIN) -> None:
        self.name = file.name
        self._file = file
        self._constants = constant_inputs(settings)
        known = read_facts(file)
        for message, hint in unknown_operators(file.name, known, settings.meta):
            raise UserError(message, hint)
        self._session = open_session(file, provider, settings)
        facts = {value.name: value for value in known.inputs}
        self._wanted = [
            facts[value.name] for value in self._session.get_inputs() if value.name not in self._constants
        ]
        self.inputs = [TensorInput(value.name, value.dtype, value.dims or ()) for value in self._wanted]
        self.outputs = [value.name for value in self._session.get_outputs()]

    @property
    def session(self) -> onnxruntime.InferenceSession:
        """For who runs it by himself."""
        return self._session

    def run(self, feed: Feed) -> list[Array]:
        found: list[Array] = self._session.run(None, {**self._constants, **feed})
        return found

    def numpy_type(self, dtype: str) -> np.dtype[np.generic]:
        """For TensorPart."""
        return numpy_type(dtype)

    def made_inputs(
        self,
        shapes: Mapping[str, Sequence[int]],
        seed: int,
        fixed: Mapping[str, Sequence[int | str]] | None = None,
    ) -> dict[str, Array]:
        """For TensorPart. fixed: dimensions of a graph that has to take the same inputs."""
        return runnable_inputs(
            self, self._wanted, id_limits(open_graph(self._file)), shapes, seed, fixed or {}
        )


def _narrowed(value: ValueFacts, dims: Sequence[int | str] | None) -> ValueFacts:
    if dims is None or value.dims is None or len(dims) != len(value.dims):
        return value
    both = zip(value.dims, dims, strict=True)
    return replace(value, dims=tuple(new if isinstance(new, int) else old for old, new in both))


class Runnable(Protocol):
    """A graph that can be run, in one session or in several."""

    name: str

    def run(self, feed: Feed) -> list[Array]: ...


def runnable_inputs(
    part: Runnable,
    wanted: Sequence[ValueFacts],
    limits: Mapping[str, int],
    shapes: Mapping[str, Sequence[int]],
    seed: int,
    fixed: Mapping[str, Sequence[int | str]],
) -> dict[str, Array]:
    """Made inputs that the graph has been run on once. Raises UserError when none were found.

    wanted: what it takes; fixed: dimensions of a graph that has to take the same inputs
    """
    inputs = [_narrowed(value, fixed.get(value.name)) for value in wanted]
    reasons = []
    for found in tries(inputs, shapes):
        feed = made_inputs(inputs, found, limits, seed)
        try:
            part.run(feed)
        except Exception as error:  # noqa: BLE001 - onnxruntime has a class of its own for each code
            reasons.append(str(error).splitlines()[0])
        else:
            return feed
    free = sorted({f"{v.name}: {list(v.dims or ())}" for v in inputs if v.dims is None or v.dynamic})
    raise UserError(
        f"{part.name} does not run on inputs made from its shapes: {reasons[0] if reasons else 'none fits'}.",
        "Give io_config with input_names and input_shapes"
        + (f"; nothing fixes the shape of {', '.join(free)}." if free else "."),
    )


def provider_for(device: str) -> str:
    """The execution provider for a device, of those that are here."""
    here = onnxruntime.get_available_providers()
    return next((name for name in _OF_DEVICE.get(device, ()) if name in here), CPU)


def open_session(file: Path, provider: str = CPU, settings: Settings = PLAIN) -> onnxruntime.InferenceSession:
    """Raises UserError where the execution provider is not here, PassError when onnxruntime refuses the
    graph."""
    here = onnxruntime.get_available_providers()
    if provider not in here:
        raise UserError(
            f"The onnxruntime that is installed here has no {provider}.", f"It has {', '.join(here)}."
        )
    options = session_options(settings)
    providers: list[str | tuple[str, dict[str, object]]] = [
        (provider, dict(settings.providers.get(provider, {})))
    ]
    if provider != CPU:
        providers.append(CPU)
    try:
        return onnxruntime.InferenceSession(file, options, providers=providers)
    except Exception as error:
        raise PassError(f"onnxruntime does not open {file.name}: {str(error).splitlines()[0]}") from error


def session_options(settings: Settings) -> onnxruntime.SessionOptions:
    """Olive's session_options as onnxruntime has them. Raises UserError for what it does not know."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _SILENT
    for name, value in settings.options.items():
        if value is None:
            continue
        if name == "extra_session_config" and isinstance(value, Mapping):
            for key, entry in value.items():
                options.add_session_config_entry(str(key), str(entry))
        elif name == "execution_mode":
            number = _MODES.get(str(value), value)
            options.execution_mode = onnxruntime.ExecutionMode(number)
        elif name == "graph_optimization_level":
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel(value)
        elif hasattr(options, name):
            setattr(options, name, value)
        else:
            raise UserError(f"onnxruntime has no session option {name!r}.")
    if settings.extensions:
        _register_extensions(options)
    if settings.library is not None:
        _register(options, settings.library)
    if settings.initializers is not None:
        held = _arrays(settings.initializers)
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in held.values()]
        options.add_external_initializers(list(held), values)
    return options


def _register_extensions(options: onnxruntime.SessionOptions) -> None:
    try:
        from onnxruntime_extensions import (  # type: ignore[import-not-found]  # noqa: PLC0415
            get_library_path,
        )
    except ImportError:
        raise MissingDependencyError(
            "The model uses operators of onnxruntime-extensions, which is not installed.",
            "pip install onnxruntime-extensions",
        ) from None
    options.register_custom_ops_library(get_library_path())


def _register(options: onnxruntime.SessionOptions, library: Path) -> None:
    """The user has named it: what is in it is run."""
    try:
        options.register_custom_ops_library(str(library))
    except Exception as error:
        raise UserError(
            f"onnxruntime does not load {library.name}: {str(error).splitlines()[0]}",
            "It has to be a library of custom operators, built for this system and this onnxruntime.",
        ) from error


def constant_inputs(settings: Settings) -> dict[str, Array]:
    """Inputs that never change, by name."""
    return _arrays(settings.constants)


def _arrays(file: Path | None) -> dict[str, Array]:
    if file is None:
        return {}
    if file.suffix == ".safetensors":
        from safetensors.numpy import load_file  # noqa: PLC0415 - few models have such a file

        return dict(load_file(file))
    with np.load(file, allow_pickle=False) as held:
        return {name: held[name] for name in held.files}
