"""A function of the user's that measures: Olive's `evaluate_func` and `metric_func`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from numbers import Real
from pathlib import Path
from typing import NamedTuple

from modelpress.api import Artifact, LoadedModel, PassContext, UserError
from modelpress_plugins.metrics.answers import answers
from modelpress_plugins.metrics.arrays import takes_arrays
from modelpress_plugins.metrics.config import CustomOptions
from modelpress_plugins.user_code import call_function, importable, load_function


class Outputs(NamedTuple):
    """What a metric_func is given first. preds: what the model wrote for each prompt."""

    preds: list[str]
    logits: object = None


def custom(model: Artifact, config: CustomOptions, ctx: PassContext) -> Mapping[str, float]:
    """The numbers that the function returns: one, or several by name."""
    user = config.user_config
    option = "evaluate_func" if user.evaluate_func else "metric_func"
    name = user.evaluate_func or user.metric_func or ""
    where = f" of {Path(user.user_script).name}" if user.user_script else ""
    ctx.note(f"{option} {name}{where} is run: code that the workflow names.")
    with importable(user.script_dir):
        function = load_function(name, user.user_script, user.script_dir, option)
        if user.evaluate_func:
            with closing(Evaluated(model, ctx)) as evaluated:
                answer = _evaluate(function, evaluated, config, ctx)
        else:
            pairs = answers(model, config, ctx)
            outputs, right = Outputs([given for given, _ in pairs]), [answer for _, answer in pairs]
            answer = call_function(function, outputs, right, **user.metric_func_kwargs)
    return _numbers(answer, config, name)


class Evaluated:
    """The model that an evaluate_func is given, by the names that Olive's model handlers have."""

    def __init__(self, model: Artifact, ctx: PassContext) -> None:
        self._model = model
        self._ctx = ctx
        self._loaded: LoadedModel | None = None
        self.format = model.format
        named = [str(name) for name in (model.meta.extra.get("onnx_file_name"),) if name]
        graphs = named or [path.name for path in sorted(model.path.glob("*.onnx"))]
        is_one_file = model.format == "onnx" and len(graphs) == 1
        self.model_path = str(model.path / graphs[0] if is_one_file else model.path)
        """The folder, or the file of an ONNX model that is one file."""

    def open(self) -> LoadedModel:
        """As modelpress opens it: logits, generate and tokenizer of a language model, whatever its format."""
        if self._loaded is None:
            self._loaded = self._ctx.load(self._model)
        return self._loaded

    def load_model(self, rank: int | None = None, cache_model: bool = True) -> object:
        """The model of the library that it belongs to: transformers, PEFT; else as `open` gives it."""
        opened = self.open()
        return getattr(opened, "model", opened)

    def prepare_session(
        self,
        inference_settings: object = None,
        device: object = None,
        execution_providers: object = None,
        rank: int | None = None,
    ) -> object:
        """An InferenceSession of onnxruntime for an ONNX model, the model itself for others."""
        opened = self.open()
        if not takes_arrays(opened):
            return self.load_model()
        parts = opened.parts_on(self._ctx.accelerator.execution_provider)
        if len(parts) != 1:
            names = ", ".join(part.name for part in parts)
            raise UserError(f"The model has {len(parts)} graphs, and a session is of one: {names}.")
        return getattr(parts[0], "session", parts[0])

    def run_session(self, session: object, inputs: object, **options: object) -> object:
        """What the session gives for the inputs, a mapping."""
        if not isinstance(inputs, Mapping):
            raise UserError(f"run_session takes a mapping of inputs, and was given {type(inputs).__name__}.")
        run = getattr(session, "run", None)
        return run(None, dict(inputs)) if run else session(**inputs)  # type: ignore[operator]

    def close(self) -> None:
        if self._loaded is not None:
            self._loaded.close()


def _evaluate(
    function: Callable[..., object], model: Evaluated, config: CustomOptions, ctx: PassContext
) -> object:
    """Olive calls it with model, device and execution providers; before 2024 also with data_dir and
    batch_size: what it has a name for it is given by that name."""
    user = config.user_config
    known = {
        "model": model,
        "device": ctx.device,
        "execution_providers": [ctx.accelerator.execution_provider],
        "data_dir": user.data_dir,
        "batch_size": user.batch_size or config.batch_size,
    }
    try:
        takes = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        takes = []
    first = next(iter(takes), "model")
    more = {name: value for name, value in known.items() if name in takes and name not in ("model", first)}
    call = partial(call_function, function, model)
    return call(**{**more, **user.evaluate_func_kwargs})


def _numbers(answer: object, config: CustomOptions, name: str) -> dict[str, float]:
    wanted = config.sub_types
    if isinstance(answer, Real) and not isinstance(answer, bool):
        if len(wanted) > 1:
            raise UserError(
                f"{name} returned one number, and sub_types wants {len(wanted)}: {', '.join(wanted)}.",
                "Return a dict of them by name.",
            )
        return {wanted[0] if wanted else name.rpartition(":")[2]: float(answer)}
    if not isinstance(answer, Mapping):
        told = type(answer).__name__
        raise UserError(f"{name} returned {told}; a number is expected, or a dict of numbers by name.")
    found = {str(key): value for key, value in answer.items()}
    if absent := [each for each in wanted if each not in found]:
        there = ", ".join(found) or "none"
        raise UserError(f"{name} returned no number {absent[0]!r}; there are: {there}.")
    return {key: _number(found[key], key, name) for key in wanted or found}


def _number(value: object, key: str, name: str) -> float:
    """numpy's and torch's numbers count as numbers."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        told = type(value).__name__
        raise UserError(f"{name} returned {told} for {key!r}; a number is expected.") from None
