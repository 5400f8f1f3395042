"""Weight-only passes that need onnxruntime's kernels alone, not torch."""

from __future__ import annotations

import re

import onnx_ir as ir

from modelpress.api import Artifact, PassContext, PassError
from modelpress_plugins.onnx_graph.press import press
from modelpress_plugins.onnx_quantize.blocks import Blocks
from modelpress_plugins.onnx_quantize.bnb4 import QUANT_TYPES, Bnb4
from modelpress_plugins.onnx_quantize.choice import Choice, unmatched
from modelpress_plugins.onnx_quantize.config import (
    OnnxBlockWiseRtnQuantizationConfig,
    OnnxBnb4QuantizationConfig,
)
from modelpress_plugins.onnx_quantize.kernels import round_to_nearest
from modelpress_plugins.onnx_quantize.settings import bnb4_settings
from modelpress_plugins.onnx_quantize.weight_only import WeightOnly


def nearest(model: Artifact, config: OnnxBlockWiseRtnQuantizationConfig, ctx: PassContext) -> Artifact:
    """For PassSpec.run of OnnxBlockWiseRtnQuantization."""
    blocks = Blocks(config.bits, config.block_size, config.is_symmetric)
    choice = Choice(
        frozenset(("MatMul", "Gather")),
        tuple(config.nodes_to_exclude or ()),
        tuple(config.nodes_to_include or ()),
    )

    def change(graph: ir.Model) -> ir.Model:
        tell_unmatched(graph, choice, ctx)
        WeightOnly(choice, lambda _: blocks, round_to_nearest, config.accuracy_level).apply(graph)
        return graph

    return press(model, config, ctx, change, exact=False, cosine=blocks.cosine)


def bnb4(model: Artifact, config: OnnxBnb4QuantizationConfig, ctx: PassContext) -> Artifact:
    """For PassSpec.run of OnnxBnb4Quantization."""
    precision, modules = bnb4_settings(config, model.meta)
    if precision is None:
        raise PassError("Nothing says whether FP4 or NF4 levels are meant.", "Set precision.")
    excluded = tuple(config.nodes_to_exclude or ())

    def change(graph: ir.Model) -> ir.Model:
        names = [node.name or "" for node in graph.graph.all_nodes() if node.op_type == "MatMul"]
        others = [name for name in names if not _among(name, modules)] if modules else []
        choice = Choice(frozenset(("MatMul",)), (*excluded, *others))
        tell_unmatched(graph, Choice(choice.operators, excluded), ctx)
        Bnb4(choice, QUANT_TYPES[precision]).apply(graph)
        return graph

    return press(model, config, ctx, change, exact=False)


def tell_unmatched(
    graph: ir.Model, choice: Choice, ctx: PassContext, option: str = "nodes_to_exclude"
) -> None:
    """Names in the options that no node has: misspelt, most likely."""
    names = {node.name or "" for node in graph.graph.all_nodes()}
    for name, given in ((option, choice.excluded), ("nodes_to_include", choice.included)):
        if missing := unmatched(given, names):
            told = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
            ctx.note(f"{name}: no node is named {told}.")


def _among(name: str, modules: tuple[str, ...]) -> bool:
    return any(re.match(f".*[./]{module}[./]MatMul$", name) for module in modules)
