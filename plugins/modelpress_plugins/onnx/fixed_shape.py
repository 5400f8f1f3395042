"""DynamicToFixedShape: numbers in place of free dimensions, all through the graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import onnx
import onnx_ir as ir

from modelpress.api import Artifact, PassContext
from modelpress_plugins.onnx.pass_config import FixedShapeOptions
from modelpress_plugins.onnx_graph.graph import through_proto
from modelpress_plugins.onnx_graph.ort import onnx_model_utils
from modelpress_plugins.onnx_graph.press import Changed, press


def run(model: Artifact, config: FixedShapeOptions, ctx: PassContext) -> Artifact:
    """For PassSpec.run."""

    def change(graph: ir.Model) -> Changed:
        before = _free(graph)
        fixed = through_proto(graph, lambda proto: _fix(proto, config), lambda tensor: tensor)
        return Changed(fixed, before - _free(fixed), "dimension")

    return press(model, config, ctx, change)


def _fix(proto: onnx.ModelProto, config: FixedShapeOptions) -> onnx.ModelProto:
    onnx_model_utils.remove_invalid_dim_values(proto.graph)
    for name, value in zip(config.dim_param or (), config.dim_value or (), strict=True):
        onnx_model_utils.make_dim_param_fixed(proto.graph, name, value)
    _fix_inputs(proto.graph, dict(zip(config.input_name or (), config.input_shape or (), strict=True)))
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    for output, known in zip(proto.graph.output, inferred.graph.output, strict=True):
        shape = known.type.tensor_type.shape
        if shape.dim and all(dim.HasField("dim_value") for dim in shape.dim):
            output.type.tensor_type.shape.CopyFrom(shape)
    return proto


def _fix_inputs(graph: onnx.GraphProto, shapes: Mapping[str, Sequence[int]]) -> None:
    """A name that gets one size is that everywhere; one that gets several was no name."""
    sizes: dict[str, set[int]] = {}
    named = [value for value in graph.input if value.name in shapes]
    for value in named:
        for dim, size in zip(value.type.tensor_type.shape.dim, shapes[value.name], strict=True):
            sizes.setdefault(dim.dim_param, set()).add(size)
    for name, found in sizes.items():
        if name and len(found) == 1:
            onnx_model_utils.make_dim_param_fixed(graph, name, *found)
    for value in named:
        for dim, size in zip(value.type.tensor_type.shape.dim, shapes[value.name], strict=True):
            dim.dim_value = size


def _free(graph: ir.Model) -> int:
    """Dimensions of inputs and outputs that are not fixed."""
    return sum(1 for _ in _dims(graph))


def _dims(graph: ir.Model) -> Iterator[object]:
    for value in (*graph.graph.inputs, *graph.graph.outputs):
        yield from (dim for dim in value.shape or () if not isinstance(dim, int))
