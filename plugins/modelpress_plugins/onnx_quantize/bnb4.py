"""MatMulBnb4: weights on bitsandbytes' FP4 or NF4 levels, as onnxruntime's MatMulBnb4Quantizer gives them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from modelpress_plugins.onnx_graph.graph import Array
from modelpress_plugins.onnx_quantize.blocks import STRIP_ELEMENTS
from modelpress_plugins.onnx_quantize.choice import Choice
from modelpress_plugins.onnx_quantize.codes import Together
from modelpress_plugins.onnx_quantize.kernels import to_levels
from modelpress_plugins.onnx_quantize.weight_only import (
    MICROSOFT,
    constant,
    drop_unused,
    initializer,
    register,
    replace,
)
from modelpress_plugins.onnx_quantize.weights import Weight, as_matrix

BLOCK = 64
"""The only block that bitsandbytes' own layers use."""

QUANT_TYPES = {"fp4": 0, "nf4": 1}


@dataclass(slots=True)
class Bnb4:
    """One quantization of a graph. quant_type: 0 for FP4, 1 for NF4."""

    choice: Choice
    quant_type: int
    _made: dict[int, list[ir.Value]] = field(default_factory=dict)

    def apply(self, model: ir.Model) -> int:
        """Change the graph in place; how many nodes were replaced."""
        changed = 0
        for node in list(model.graph.all_nodes()):
            if not self.choice.takes(node.op_type, node.name or "") or node.domain not in ("", "ai.onnx"):
                continue
            weight = constant(node, 1)
            matrix = as_matrix(weight)
            if weight is None or matrix is None or not _fits(matrix):
                continue
            self._replace(node, weight, matrix)
            changed += 1
        if changed:
            model.graph.opset_imports.setdefault(MICROSOFT, 1)
            drop_unused(model)
        return changed

    def _replace(self, node: ir.Node, weight: ir.Value, matrix: Weight) -> None:
        if id(weight) not in self._made:
            self._made[id(weight)] = self._coded(weight, matrix)
        inputs, outputs = matrix.shape
        attributes = {"K": inputs, "N": outputs, "block_size": BLOCK, "quant_type": self.quant_type}
        name = f"{node.name}_Bnb4" if node.name else ""
        coded = self._made[id(weight)]
        replace(
            node,
            ir.node("MatMulBnb4", [node.inputs[0], *coded], attributes, domain=MICROSOFT, name=name),
        )

    def _coded(self, weight: ir.Value, matrix: Weight) -> list[ir.Value]:
        inputs, outputs = matrix.shape
        together = Together(lambda: code_matrix(matrix, self.quant_type))
        packed = together.tensor(
            "packed", f"{weight.name}_Bnb4", ir.DataType.UINT8, (-(-inputs * outputs // 2),)
        )
        largest = together.tensor(
            "absmax", f"{weight.name}_absmax", matrix.dtype, (-(-inputs * outputs // BLOCK),)
        )
        values = [initializer(packed), initializer(largest)]
        for value in values:
            register(weight, value)
        return values


def _fits(matrix: Weight) -> bool:
    return len(matrix.tensor.shape) == 2 and matrix.dtype != ir.DataType.BFLOAT16


def code_matrix(matrix: Weight, quant_type: int) -> dict[str, Array]:
    """packed and absmax of a weight (K, N). Where blocks end with each column, it is taken by strips."""
    inputs, outputs = matrix.shape
    if inputs % BLOCK:
        packed, largest = to_levels(matrix.rows(0, inputs), BLOCK, quant_type)
        return {"packed": packed, "absmax": largest}
    packed = np.empty((outputs, inputs // 2), np.uint8)
    largest = np.empty((outputs, inputs // BLOCK), matrix.float_dtype)
    at = 0
    for strip in matrix.strips(max(1, STRIP_ELEMENTS // (BLOCK * outputs)) * BLOCK):
        codes, scales = to_levels(strip, BLOCK, quant_type)
        end = at + len(strip)
        packed[:, at // 2 : end // 2] = codes.reshape(outputs, -1)
        largest[:, at // BLOCK : end // BLOCK] = scales.reshape(outputs, -1)
        at = end
    return {"packed": packed, "absmax": largest}
