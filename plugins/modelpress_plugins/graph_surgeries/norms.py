"""Surgeons of norms: other spellings of x / |x|."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from modelpress_plugins.graph_surgeries.edit import (
    Operation,
    array_of,
    initializer,
    insert,
    integer,
    nodes,
    only_user,
    producer,
    remove,
    remove_unused,
    replace,
    scalar_of,
)
from modelpress_plugins.graph_surgeries.surgeons import (
    PowReduceSumPowDiv2LpNorm,
    ReciprocalMulToDiv,
    SimplifiedLayerNormToL2Norm,
)

_SKIP = "SkipSimplifiedLayerNormalization"


def reciprocal_mul_to_div(model: ir.Model, options: ReciprocalMulToDiv, operation: Operation) -> int:
    """Mul(a, Reciprocal(x)) -> Div(a, x), in either order."""
    count = 0
    for node in nodes(model, "Mul"):
        for index in (1, 0):
            reciprocal = producer(node.inputs[index], "Reciprocal")
            if reciprocal is None:
                continue
            quotient = insert(
                model, node, "Div", [node.inputs[1 - index], reciprocal.inputs[0]], like=node.outputs[0]
            )
            replace(node.outputs[0], quotient)
            remove(node)
            remove_unused(reciprocal.outputs[0])
            count += 1
            break
    return count


def simplified_layer_norm_to_l2_norm(
    model: ir.Model, options: SimplifiedLayerNormToL2Norm, operation: Operation
) -> int:
    """x / sqrt(mean(x²) + epsilon) · w -> x / |x| · (w · sqrt(N)); epsilon goes."""
    count = 0
    widened: dict[ir.Value, ir.Value] = {}
    for node in nodes(model, "SimplifiedLayerNormalization", _SKIP):
        weight = node.inputs[-1]
        values = array_of(weight)
        if not _is_plain_norm(node) or values is None or weight is None:
            operation.tell(
                f"{node.name} has a bias, another axis, more outputs or a weight that is computed."
            )
            continue
        summed = node.inputs[0]
        if node.op_type == _SKIP:
            whole = node.outputs[3] if len(node.outputs) > 3 else None
            summed = insert(model, node, "Add", node.inputs[:2], like=whole or node.outputs[0])
            if whole is not None:
                replace(whole, summed)
        normed = insert(model, node, "LpNormalization", [summed], {"axis": -1, "p": 2}, like=node.outputs[0])
        if weight not in widened:
            # One number where all are one, as after a rotation: the product is a little faster.
            same = np.ones(1, values.dtype) if np.all(values == 1) else values
            scaled = (same * np.sqrt(float(values.shape[-1]))).astype(values.dtype)
            widened[weight] = initializer(model, f"{weight.name}_l2", scaled)
        replace(node.outputs[0], insert(model, node, "Mul", [normed, widened[weight]], like=node.outputs[0]))
        remove(node)
        count += 1
    return count


def _is_plain_norm(node: ir.Node) -> bool:
    """x and weight (with what is added in front of the weight), and nothing else read of it."""
    skip = node.op_type == _SKIP
    others = [output for index, output in enumerate(node.outputs) if index not in ((0, 3) if skip else (0,))]
    return (
        len(node.inputs) == 2 + skip
        and all(value is not None for value in node.inputs)
        and (skip or integer(node, "axis", -1) == -1)
        and not any(output.uses() or output.is_graph_output() for output in others)
    )


def pow_reduce_sum_pow_div_to_lp_norm(
    model: ir.Model, options: PowReduceSumPowDiv2LpNorm, operation: Operation
) -> int:
    """Div(x, Pow(ReduceSum(Pow(x, 2)), 0.5)) -> LpNormalization(x), over one axis that is kept."""
    count = 0
    for node in nodes(model, "Div"):
        root = producer(node.inputs[1], "Pow")
        total = producer(root.inputs[0], "ReduceSum") if root else None
        square = producer(total.inputs[0], "Pow") if total else None
        if root is None or total is None or square is None:
            continue
        is_norm = scalar_of(root.inputs[1]) == 0.5 and scalar_of(square.inputs[1]) == 2
        axes = _axes(total)
        if not is_norm or square.inputs[0] is not node.inputs[0]:
            continue
        if len(axes) != 1 or integer(total, "keepdims", 1) != 1:
            operation.tell(f"{total.name} does not sum over one axis that is kept; {node.name} stays.")
            continue
        if any(only_user(each.outputs[0]) is None for each in (root, total, square)):
            operation.tell(f"What {node.name} divides by is read elsewhere, too; it stays.")
            continue
        attributes: dict[str, int | float | str] = {"axis": axes[0], "p": 2}
        normed = insert(model, node, "LpNormalization", [node.inputs[0]], attributes, like=node.outputs[0])
        replace(node.outputs[0], normed)
        remove(node)
        remove_unused(root.outputs[0])
        count += 1
    return count


def _axes(node: ir.Node) -> list[int]:
    """Of a ReduceSum: an attribute up to opset 12, an input since."""
    if "axes" in node.attributes:
        return [int(axis) for axis in node.attributes["axes"].as_ints()]
    axes = array_of(node.inputs[1]) if len(node.inputs) > 1 else None
    return [] if axes is None else [int(axis) for axis in axes.ravel()]
