"""OnnxFloatToFloat16: onnxruntime's own converter on the graph without its weights; they follow in strips."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from modelpress.api import Artifact, PassContext
from modelpress_plugins.onnx.config import Float16Options
from modelpress_plugins.onnx_graph.graph import Array, MadeTensor, strips, through_proto
from modelpress_plugins.onnx_graph.ort import onnx_model
from modelpress_plugins.onnx_graph.press import press


def run(model: Artifact, config: Float16Options, ctx: PassContext) -> Artifact:
    """For PassSpec.run."""

    def change(graph: ir.Model) -> ir.Model:
        return through_proto(graph, lambda proto: _convert(proto, config), lambda t: _halves(t, config))

    return press(model, config, ctx, change, exact=False)


def _convert(proto: onnx.ModelProto, config: Float16Options) -> onnx.ModelProto:
    """The converter gives an external tensor its new type, and leaves its bytes to us."""
    nodes = list(proto.graph.node)
    ops, names = config.op_block_list, config.node_block_list
    if config.op_include_list is not None:
        ops = tuple(sorted({node.op_type for node in nodes} - set(config.op_include_list)))
    if config.node_include_list is not None:
        names = tuple(node.name for node in nodes if node.name not in config.node_include_list)
    keep = config.keep_io_types
    converted = onnx_model.OnnxModel(proto)
    converted.convert_float_to_float16(
        use_symbolic_shape_infer=config.use_symbolic_shape_infer,
        min_positive_val=config.min_positive_val,
        max_finite_val=config.max_finite_val,
        keep_io_types=keep if isinstance(keep, bool) else list(keep),
        op_block_list=None if ops is None else list(ops),
        node_block_list=None if names is None else list(names),
    )
    result: onnx.ModelProto = converted.model
    return result


def _halves(tensor: ir.TensorProtocol, config: Float16Options) -> MadeTensor:
    """A float32 tensor as float16, converted while it is written."""

    def pieces() -> Iterator[Array]:
        for strip in strips(tensor):
            yield to_float16(strip, config.min_positive_val, config.max_finite_val)

    return MadeTensor(tensor.name or "", ir.DataType.FLOAT16, tensor.shape.numpy(), pieces)


def to_float16(values: npt.NDArray[np.generic], smallest: float, largest: float) -> npt.NDArray[np.float16]:
    """What onnxruntime's convert_np_to_float16 gives, bit for bit, in a third of the time: what is not zero
    stays so, what is finite too, with its sign."""
    floats = values.astype(np.float32, copy=False)
    sizes = np.abs(floats)
    with np.errstate(over="ignore"):
        halves = floats.astype(np.float16)
    for wrong, bound in (
        ((sizes < smallest) & (sizes > 0), smallest),
        ((sizes > largest) & (sizes < np.inf), largest),
    ):
        if wrong.any():
            halves[wrong] = np.copysign(np.float32(bound), floats[wrong]).astype(np.float16)
    return halves
