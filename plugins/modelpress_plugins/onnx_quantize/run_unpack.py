"""MatMulNBitsToQDQ: apart from the quantizers, which need no converter of opsets."""

from __future__ import annotations

import onnx_ir as ir

from modelpress.api import Artifact, PassContext
from modelpress_plugins.onnx_graph.press import press
from modelpress_plugins.onnx_quantize.choice import Choice
from modelpress_plugins.onnx_quantize.config import MatMulNBitsToQDQConfig
from modelpress_plugins.onnx_quantize.opset import raise_opset
from modelpress_plugins.onnx_quantize.run_blocks import tell_unmatched
from modelpress_plugins.onnx_quantize.unpacked import Unpack, needed_opset


def unpack(model: Artifact, config: MatMulNBitsToQDQConfig, ctx: PassContext) -> Artifact:
    """For PassSpec.run of MatMulNBitsToQDQ."""
    excluded = tuple(config.nodes_to_exclude or ())
    rewrite = Unpack(
        config.use_transpose_op, config.use_signed_int, config.use_int4, config.add_zero_point, excluded
    )

    def change(graph: ir.Model) -> ir.Model:
        tell_unmatched(graph, Choice(frozenset(("MatMulNBits",)), excluded), ctx)
        if not rewrite.apply(graph):
            return graph
        return raise_opset(graph, needed_opset(graph), ctx)

    return press(model, config, ctx, change, exact=False)
