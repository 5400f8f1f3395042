"""Weight-only passes whose grids are searched for, in torch."""

from __future__ import annotations

import onnx_ir as ir

from modelpress.api import Artifact, PassContext
from modelpress_plugins.onnx_graph.press import press
from modelpress_plugins.onnx_quantize.blocks import Blocks, Quantizer
from modelpress_plugins.onnx_quantize.choice import Choice
from modelpress_plugins.onnx_quantize.config import (
    NBitsOptions,
    OnnxHqqQuantizationConfig,
    OnnxKQuantQuantizationConfig,
)
from modelpress_plugins.onnx_quantize.run_blocks import tell_unmatched
from modelpress_plugins.onnx_quantize.searched import ROUNDERS, quantizer_of
from modelpress_plugins.onnx_quantize.weight_only import BlocksOf, WeightOnly
from modelpress_plugins.tensors.ordered_threads import StripThreads


def k_quant(model: Artifact, config: OnnxKQuantQuantizationConfig, ctx: PassContext) -> Artifact:
    """For PassSpec.run of OnnxKQuantQuantization."""
    own = config.customized_weight_config or {}

    def blocks_of(name: str) -> Blocks:
        given = own.get(name)
        bits, size = (given.bits, given.group_size) if given else (None, None)
        return Blocks(bits or config.bits, size or config.block_size, symmetric=False)

    choice = Choice(_MATMUL, tuple(config.nodes_to_exclude or ()))
    return _searched(model, config, ctx, choice, blocks_of, "k_quant", tuple(own))


def hqq(model: Artifact, config: OnnxHqqQuantizationConfig, ctx: PassContext) -> Artifact:
    """For PassSpec.run of OnnxHqqQuantization."""
    blocks = Blocks(4, config.block_size, symmetric=False)
    choice = Choice(_MATMUL, tuple(config.nodes_to_exclude or ()), tuple(config.nodes_to_include or ()))
    return _searched(model, config, ctx, choice, lambda _: blocks, "hqq")


_MATMUL = frozenset(("MatMul",))


def _searched(
    model: Artifact,
    config: NBitsOptions,
    ctx: PassContext,
    choice: Choice,
    blocks_of: BlocksOf,
    rounder: str,
    named: tuple[str, ...] = (),
) -> Artifact:
    with StripThreads() as threads:
        quantize: Quantizer = quantizer_of(ROUNDERS[rounder], threads)

        def change(graph: ir.Model) -> ir.Model:
            tell_unmatched(graph, choice, ctx)
            tell_unmatched(graph, Choice(_MATMUL, named), ctx, "customized_weight_config")
            WeightOnly(choice, blocks_of, quantize, config.accuracy_level).apply(graph)
            return graph

        cosine = min(blocks_of(name).cosine for name in ("", *named))
        return press(model, config, ctx, change, exact=False, cosine=cosine)
