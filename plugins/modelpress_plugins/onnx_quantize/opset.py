"""Raise the opset of a graph whose new operators need it."""

from __future__ import annotations

import onnx_ir as ir
from onnxscript import version_converter

from modelpress.api import PassContext, PassError


def opset_of(graph: ir.Model) -> int:
    """Of the standard operators; 0 where the graph says none."""
    return graph.graph.opset_imports.get("", graph.graph.opset_imports.get("ai.onnx", 0))


def raise_opset(graph: ir.Model, needed: int, ctx: PassContext) -> ir.Model:
    """The graph, with every operator as that opset has it. Nothing is done where its opset is high enough.

    Raises PassError when an operator cannot be converted.
    """
    given = opset_of(graph)
    if given >= needed:
        return graph
    try:
        version_converter.convert_version(graph, needed)
    except (ValueError, TypeError, NotImplementedError, RuntimeError) as error:
        raise PassError(
            f"The graph is of opset {given}, what it needs now came with {needed}, and it cannot be "
            f"converted: {error}.",
            f"Export the model for opset {needed} or later.",
        ) from error
    if opset_of(graph) < needed:
        raise PassError(
            f"The graph is of opset {given}, and what it needs now came with {needed}.",
            f"Export the model for opset {needed} or later.",
        )
    ctx.note(f"Converted from opset {given} to {needed}, which the new operators need.")
    return graph
