"""Surgeons of linear layers: MatMul, Gemm and MatMulNBits."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from modelpress_plugins.graph_surgeries.edit import (
    Operation,
    array_of,
    constant_of,
    initializer,
    insert,
    integer,
    nodes,
    only_user,
    remove,
    remove_unused,
    replace,
    static_shape,
)
from modelpress_plugins.graph_surgeries.surgeons import (
    GemmToMatMulAdd,
    MatMulAddToGemm,
    RemoveGidxFromMatMulNBits,
)
from modelpress_plugins.graph_surgeries.weights import transposed

_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE, ir.DataType.BFLOAT16)
_INDEX = 4
"""Of g_idx among the inputs of MatMulNBits."""


class _Layer(NamedTuple):
    """MatMul -> Add. shape: of what the MatMul reads; None where that has two dimensions."""

    matmul: ir.Node
    add: ir.Node
    bias: ir.Value
    shape: tuple[int, ...] | None
    width: int


def matmul_add_to_gemm(model: ir.Model, options: MatMulAddToGemm, operation: Operation) -> int:
    """Gemm reads matrices: what has more dimensions is reshaped before, and back behind (behind a Relu that
    follows, so that the two can be fused)."""
    _infer_shapes(model)
    layers = [layer for node in nodes(model, "MatMul") if (layer := _layer(node)) is not None]
    for layer in layers:
        _replace_by_gemm(model, layer)
    return len(layers)


def _infer_shapes(model: ir.Model) -> None:
    """Let values know their shapes, in place: the pass of onnx_ir leaves large initializers out."""
    ShapeInferencePass()(model)


def _layer(matmul: ir.Node) -> _Layer | None:
    add = only_user(matmul.outputs[0])
    left, right = matmul.inputs
    if add is None or add.op_type != "Add" or left is None or right is None:
        return None
    bias = next((value for value in add.inputs if value is not matmul.outputs[0]), None)
    weight, read = right.shape, left.shape
    if bias is None or bias.shape is None or weight is None or read is None:
        return None
    if len(weight) != 2 or len(bias.shape) != 1 or len(read) < 2 or matmul.outputs[0].dtype not in _FLOATS:
        return None
    width = weight[1]
    if not isinstance(width, int) or bias.shape[0] not in (1, width):
        return None  # Add would widen the product, Gemm does not
    shape = static_shape(left)
    if len(read) > 2 and (shape is None or not isinstance(weight[0], int)):
        return None
    return _Layer(matmul, add, bias, shape if len(read) > 2 else None, width)


def _replace_by_gemm(model: ir.Model, layer: _Layer) -> None:
    matmul, add = layer.matmul, layer.add
    read, weight = matmul.inputs
    last = add
    if layer.shape is not None:
        flat = np.array([math.prod(layer.shape[:-1]), layer.shape[-1]], np.int64)
        read = insert(model, add, "Reshape", [read, initializer(model, f"{matmul.name}/flat", flat)])
        relu = only_user(add.outputs[0])
        last = relu if relu is not None and relu.op_type == "Relu" else add
    attributes: dict[str, int | float | str] = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}
    found = insert(
        model, add, "Gemm", [read, weight, layer.bias], dict(attributes), name=f"{matmul.name}/Gemm"
    )
    if layer.shape is None:
        found.type, found.shape = add.outputs[0].type, add.outputs[0].shape
    else:
        if last is not add:
            found = insert(model, last, "Relu", [found])
        back = np.array([*layer.shape[:-1], layer.width], np.int64)
        shape = initializer(model, f"{matmul.name}/back", back)
        found = insert(model, last, "Reshape", [found, shape], like=last.outputs[0])
    replace(last.outputs[0], found)
    for node in (last, add, matmul) if last is not add else (add, matmul):
        remove(node)


def gemm_to_matmul_add(model: ir.Model, options: GemmToMatMulAdd, operation: Operation) -> int:
    """Gemm -> MatMul, and Add where there is a bias."""
    count = 0
    turned: dict[ir.Value, ir.Value] = {}
    for node in nodes(model, "Gemm"):
        factors = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
        if factors != [1.0, 1.0] or integer(node, "transA", 0):
            operation.tell(f"{node.name} has factors, or turns what it reads; it stays.")
            continue
        left, right, *rest = node.inputs
        if left is None or right is None:
            continue
        if integer(node, "transB", 0):
            right = _turned(model, node, right, turned)
        bias = rest[0] if rest else None
        product = insert(
            model, node, "MatMul", [left, right], name=f"{node.name}_MatMul", like=node.outputs[0]
        )
        if bias is not None:
            product = insert(
                model, node, "Add", [product, bias], name=f"{node.name}_Add", like=node.outputs[0]
            )
        replace(node.outputs[0], product)
        remove(node)
        count += 1
    return count


def _turned(model: ir.Model, node: ir.Node, weight: ir.Value, turned: dict[ir.Value, ir.Value]) -> ir.Value:
    """The weight with rows and columns changed: once for all nodes that read it, if it is constant."""
    if weight in turned:
        return turned[weight]
    tensor = constant_of(weight)
    if tensor is None:
        return insert(model, node, "Transpose", [weight], {"perm": [1, 0]})
    turned[weight] = initializer(model, f"{weight.name}_transposed", transposed(tensor))
    return turned[weight]


def remove_gidx(model: ir.Model, options: RemoveGidxFromMatMulNBits, operation: Operation) -> int:
    """A g_idx that is 0 … 0 1 … 1 2 … goes; another one says that columns have changed places, and stays."""
    count = 0
    for node in nodes(model, "MatMulNBits"):
        index = node.inputs[_INDEX] if len(node.inputs) > _INDEX else None
        if index is None:
            continue
        found, size = array_of(index), integer(node, "block_size", 0)
        if found is None or not size or not np.array_equal(found.ravel(), np.arange(found.size) // size):
            operation.tell(f"The g_idx of {node.name} puts columns in another order; it stays.")
            continue
        node.replace_input_with(_INDEX, None)
        while len(node.inputs) and node.inputs[-1] is None:
            node.resize_inputs(len(node.inputs) - 1)
        remove_unused(index)
        count += 1
    return count
