"""The operating table: a graph as text, a surgery on it, and source and result run side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort

from modelpress_plugins.graph_surgeries.choice import find
from modelpress_plugins.graph_surgeries.edit import Operation
from modelpress_plugins.onnx_graph.graph import from_proto, open_proto, write_graph

Arrays = Mapping[str, npt.NDArray[np.generic]]
HEADER = '<ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1]>\n'


def graph(text: str, weights: Arrays | None = None, opset: int = 21) -> onnx.ModelProto:
    """A model from onnx's text form, with initializers beside."""
    model = onnx.parser.parse_model(HEADER.replace("21", str(opset)) + text)
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()
    )
    return model


def run(model: onnx.ModelProto | Path, feeds: Arrays) -> dict[str, npt.NDArray[np.generic]]:
    """All outputs, by name."""
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


@dataclass
class Result:
    """What a surgery gave. kinds: of the nodes of the result, in order."""

    model: onnx.ModelProto
    changed: int
    operation: Operation
    told: list[str] = field(default_factory=list)

    @property
    def kinds(self) -> list[str]:
        return [node.op_type for node in self.model.graph.node if node.op_type != "Constant"]

    @property
    def weights(self) -> dict[str, tuple[int, ...]]:
        return {tensor.name: tuple(tensor.dims) for tensor in self.model.graph.initializer}


def operate(source: onnx.ModelProto | Path, folder: Path, surgeon: str, **options: object) -> Result:
    """One surgery, from file to file."""
    found = find(surgeon)
    assert found is not None
    parsed = found.options.parse(options)
    if isinstance(source, onnx.ModelProto):
        onnx.save(source, folder / "source.onnx")
        source = folder / "source.onnx"
    told: list[str] = []
    operation = Operation(tell=told.append)
    proto = open_proto(source)
    if found.on_file:
        changed = found.operate(proto, parsed, operation)
        model = from_proto(proto, source.parent)
    else:
        model = from_proto(proto, source.parent)
        changed = found.operate(model, parsed, operation)
    write_graph(model, folder / "result.onnx")
    return Result(onnx.load(folder / "result.onnx"), changed, operation, told)


def same(source: onnx.ModelProto, result: Result, feeds: Arrays, tolerance: float = 1e-5) -> None:
    """Both give the same, name by name."""
    before = run(source, feeds)
    after = run(result.model, result.operation.feeds(dict(feeds)))
    names = result.operation.output_names
    assert {names.get(name, name) for name in before} == set(after)
    for name, array in before.items():
        np.testing.assert_allclose(after[names.get(name, name)], array, rtol=tolerance, atol=tolerance)
