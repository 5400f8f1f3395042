"""OnnxIODataTypeConverter: inputs and outputs of another type, and the graph inside as it was."""

from __future__ import annotations

import re

import onnx_ir as ir

from modelpress.api import Artifact, PassContext
from modelpress_plugins.onnx.pass_config import IoTypesOptions
from modelpress_plugins.onnx_graph.press import Changed, press


def run(model: Artifact, config: IoTypesOptions, ctx: PassContext) -> Artifact:
    """For PassSpec.run."""
    source, target = ir.DataType(config.source_dtype), ir.DataType(config.target_dtype)
    pattern = re.compile(config.name_pattern)

    def change(graph: ir.Model) -> Changed:
        main = graph.graph
        values = [v for v in main.inputs if _fits(v, source, pattern) and v.name not in main.initializers]
        for value in values:
            _convert_input(main, value, source, target)
        outputs = [index for index, v in enumerate(main.outputs) if _fits(v, source, pattern)]
        for index in outputs:
            _convert_output(main, index, target)
        return Changed(graph, len(values) + len(outputs), "input or output")

    return press(model, config, ctx, change, exact=target.itemsize >= source.itemsize)


def _fits(value: ir.Value, dtype: ir.DataType, pattern: re.Pattern[str]) -> bool:
    return value.dtype == dtype and bool(pattern.search(value.name or ""))


def _convert_input(graph: ir.Graph, value: ir.Value, inside: ir.DataType, outside: ir.DataType) -> None:
    inner = ir.Value(name=f"{value.name}_converted", shape=value.shape, type=ir.TensorType(inside))
    value.replace_all_uses_with(inner)
    for index, output in enumerate(graph.outputs):
        if output is value:
            graph.outputs[index] = inner
    cast = ir.node("Cast", [value], {"to": inside.value}, outputs=[inner], name=f"{value.name}_cast")
    if len(graph):
        graph.insert_before(graph[0], cast)
    else:
        graph.append(cast)
    value.type = ir.TensorType(outside)


def _convert_output(graph: ir.Graph, index: int, outside: ir.DataType) -> None:
    inner = graph.outputs[index]
    name = inner.name
    outer = ir.Value(shape=inner.shape, type=ir.TensorType(outside))
    graph.append(ir.node("Cast", [inner], {"to": outside.value}, outputs=[outer], name=f"{name}_cast"))
    graph.outputs[index] = outer
    if not inner.is_graph_input():
        inner.name = f"{name}_converted"
    outer.name = name
