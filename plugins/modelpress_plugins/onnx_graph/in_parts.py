"""Run a graph that is larger than the memory that a pass may take: some nodes at a time, in their order.

A part is a run of nodes whose weights have so many bytes together. Each is opened as a graph of its own,
run on what the parts before it gave, and closed: onnxruntime maps the weights where they lie, and lets them
go with the session.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from modelpress.api import PassError
from modelpress_plugins.onnx_graph.facts import ValueFacts, read_facts
from modelpress_plugins.onnx_graph.graph import located, open_graph
from modelpress_plugins.onnx_graph.inputs import id_limits
from modelpress_plugins.onnx_graph.ort import onnxruntime
from modelpress_plugins.onnx_graph.session import (
    CPU,
    PLAIN,
    Settings,
    constant_inputs,
    runnable_inputs,
    session_options,
)
from modelpress_plugins.tensor_model import Feed
from modelpress_plugins.tensors.release import give_back_memory

Array = npt.NDArray[np.generic]
PART = 2**26
"""Bytes of weights of a part; a node that has more is a part by itself."""


@dataclass(frozen=True, slots=True)
class Part:
    """nodes: by their numbers. inputs: what is computed before, or given; outputs: what is needed later."""

    nodes: range
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class GraphInParts:
    """One graph, run part by part on the CPU; what is known of it as of an OnnxPart."""

    def __init__(self, file: Path, settings: Settings = PLAIN, largest: int = PART) -> None:
        self.name = file.name
        self._settings = settings
        self._constants = constant_inputs(settings)
        graph = open_graph(file)
        self._limits = id_limits(graph)
        self._proto, self._folder = located(graph)
        self._parts = list(cut(self._proto.graph, largest))
        outputs = {value.name for value in graph.graph.outputs}
        self._still = {
            name: value.const_value.numpy()
            for name, value in graph.graph.initializers.items()
            if name in outputs and value.const_value is not None
        }
        self.inputs: Sequence[ValueFacts] = [
            value for value in read_facts(file).inputs if value.name not in self._constants
        ]

    def run(self, feed: Feed) -> list[Array]:
        """All outputs. Raises PassError when onnxruntime refuses a part, or one gives what is no tensor."""
        held = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))
            for name, array in {**self._constants, **self._still, **feed}.items()
        }
        for number, part in enumerate(self._parts):
            given = self._run(part, held)
            later = {name for each in self._parts[number + 1 :] for name in each.inputs}
            later.update(value.name for value in self._proto.graph.output)
            held = {name: value for name, value in {**held, **given}.items() if name in later}
        return [held[value.name].numpy() for value in self._proto.graph.output]

    def made_inputs(
        self,
        shapes: Mapping[str, Sequence[int]],
        seed: int,
        fixed: Mapping[str, Sequence[int | str]] | None = None,
    ) -> dict[str, Array]:
        """As OnnxPart.made_inputs."""
        return runnable_inputs(self, self.inputs, self._limits, shapes, seed, fixed or {})

    def _run(self, part: Part, held: Mapping[str, onnxruntime.OrtValue]) -> dict[str, onnxruntime.OrtValue]:
        model = _alone(self._proto, part, {name: held[name] for name in part.inputs if name in held})
        options = session_options(self._settings)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.enable_cpu_mem_arena = False
        if not any(node.op_type == "MatMulNBits" for node in model.graph.node):
            # A packed copy of a weight in float is as large as the weight; without one, codes become floats.
            options.add_session_config_entry("session.disable_prepacking", "1")
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(self._folder)
        )
        try:
            session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=[CPU])
            found = session.run_with_ort_values(
                part.outputs, {v.name: held[v.name] for v in model.graph.input}
            )
            del session
            give_back_memory(collect=False)
        except Exception as error:  # onnxruntime has a class of its own for each code
            raise PassError(f"onnxruntime does not run {self.name}: {str(error).splitlines()[0]}") from error
        strange = [name for name, value in zip(part.outputs, found, strict=True) if not value.is_tensor()]
        if strange:
            raise PassError(f"{self.name} cannot be run in parts: {strange[0]} is no tensor.")
        return dict(zip(part.outputs, found, strict=True))


def cut(graph: onnx.GraphProto, largest: int) -> Iterator[Part]:
    """The parts of a graph, in its order."""
    weights = {tensor.name: _bytes(tensor) for tensor in graph.initializer}
    read = [set(_read(node)) for node in graph.node]
    runs: list[range] = []
    start, seen = 0, set[str]()
    for number, names in enumerate(read):
        more = names & weights.keys()
        if number > start and sum(weights[name] for name in seen | more) > largest:
            runs.append(range(start, number))
            start, seen = number, set()
        seen |= more
    runs.append(range(start, len(read)))
    wanted = {value.name for value in graph.output}
    needed: list[Part] = []
    for run in reversed(runs):
        made = {name for number in run for name in graph.node[number].output if name}
        inputs = {name for number in run for name in read[number]} - made - weights.keys()
        needed.append(Part(run, tuple(sorted(inputs)), tuple(sorted(made & wanted))))
        wanted |= inputs
    yield from (part for part in reversed(needed) if part.outputs)


def _alone(proto: onnx.ModelProto, part: Part, held: Mapping[str, onnxruntime.OrtValue]) -> onnx.ModelProto:
    """The part as a model: its nodes, the weights that they read, and what comes in with its type."""
    nodes = [proto.graph.node[number] for number in part.nodes]
    read = {name for node in nodes for name in _read(node)}
    graph = onnx.GraphProto(name=proto.graph.name or "part", node=nodes)
    graph.initializer.extend(tensor for tensor in proto.graph.initializer if tensor.name in read)
    graph.sparse_initializer.extend(proto.graph.sparse_initializer)
    graph.input.extend(
        onnx.helper.make_tensor_value_info(name, value.element_type(), value.shape())
        for name, value in held.items()
    )
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in part.outputs)
    return onnx.ModelProto(
        ir_version=proto.ir_version,
        opset_import=proto.opset_import,
        functions=proto.functions,
        graph=graph,
    )


def _read(node: onnx.NodeProto) -> Iterator[str]:
    """What a node reads, inside its subgraphs too; names that are theirs alone are among them."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            if not inner.node and not inner.output:
                continue
            own = {value.name for value in (*inner.input, *inner.initializer)}
            own.update(name for each in inner.node for name in each.output)
            read = (name for each in inner.node for name in _read(each))
            yield from (name for name in (*read, *(v.name for v in inner.output)) if name not in own)


def _bytes(tensor: onnx.TensorProto) -> int:
    place = {entry.key: entry.value for entry in tensor.external_data}
    return int(place.get("length") or 0) or tensor.ByteSize()
