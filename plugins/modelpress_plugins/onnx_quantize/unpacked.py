"""MatMulNBits as standard ONNX: DequantizeLinear on a weight of few bits, then MatMul.

The reverse of weight_only for runtimes that lack onnxruntime's own operator. Nothing is rounded again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from modelpress_plugins.onnx_graph.graph import Array, MadeTensor
from modelpress_plugins.onnx_quantize.blocks import STRIP_ELEMENTS, Blocks, Bytes, pack, unpack
from modelpress_plugins.onnx_quantize.choice import named
from modelpress_plugins.onnx_quantize.weight_only import (
    constant,
    drop_unused,
    initializer,
    register,
    replace,
)

OPSET = 21
"""The first whose DequantizeLinear knows blocks and 4 bits; 2 bits came with 25."""
OPSET_OF_TWO_BITS = 25

_TYPES = {
    (2, True): ir.DataType.INT2,
    (2, False): ir.DataType.UINT2,
    (4, True): ir.DataType.INT4,
    (4, False): ir.DataType.UINT4,
    (8, True): ir.DataType.INT8,
    (8, False): ir.DataType.UINT8,
}


@dataclass(frozen=True, slots=True)
class Unpack:
    """How nodes are rewritten; see config.MatMulNBitsToQDQConfig."""

    transpose: bool
    signed: bool
    signed_four: bool
    zero_points: bool
    excluded: tuple[str, ...] = ()

    def apply(self, model: ir.Model) -> int:
        """Change the graph in place; how many nodes were rewritten. Leaves the opset: see needed_opset."""
        changed = 0
        names = {node.name for node in model.graph.all_nodes()}
        for node in list(model.graph.all_nodes()):
            if node.op_type != "MatMulNBits" or named(node.name or "", self.excluded):
                continue
            if packed := _read(node):
                self._rewrite(node, packed, names)
                changed += 1
        if changed:
            drop_unused(model)
        return changed

    def _rewrite(self, node: ir.Node, packed: _Packed, names: set[str | None]) -> None:
        signed = self.signed or (self.signed_four and packed.blocks.bits == 4)
        dequantize = ir.node(
            "DequantizeLinear",
            self._coded(packed, signed, fresh(node, "DequantizeLinear", names)),
            self._attributes(packed),
            name=fresh(node, "DequantizeLinear", names),
        )
        nodes = [dequantize]
        if self.transpose:
            nodes.append(
                ir.node(
                    "Transpose",
                    [dequantize.outputs[0]],
                    {"perm": [1, 0]},
                    name=fresh(node, "Transpose", names),
                )
            )
        nodes.append(
            ir.node("MatMul", [node.inputs[0], nodes[-1].outputs[0]], name=fresh(node, "MatMul", names))
        )
        if packed.bias is not None:
            nodes.append(ir.node("Add", [nodes[-1].outputs[0], packed.bias], name=fresh(node, "Add", names)))
        for made in nodes:
            names.add(made.name)
            made.outputs[0].name = f"{made.name}/output_0"
            made.outputs[0].dtype = packed.float_type
        shape = [packed.outputs, packed.inputs] if self.transpose else [packed.inputs, packed.outputs]
        dequantize.outputs[0].shape = ir.Shape(shape)
        replace(node, *nodes)

    def _attributes(self, packed: _Packed) -> dict[str, int]:
        if packed.per_axis:
            return {"axis": 0 if self.transpose else 1}
        return {"axis": 1 if self.transpose else 0, "block_size": packed.blocks.size}

    def _coded(self, packed: _Packed, signed: bool, name: str) -> list[ir.Value]:
        """Weight, scales and, where it is needed, zero points of the DequantizeLinear."""
        dtype = _TYPES[packed.blocks.bits, signed]
        whole: tuple[int, ...] = (packed.outputs, packed.inputs)
        few: tuple[int, ...] = (packed.outputs, packed.along)
        if not self.transpose:
            whole, few = whole[::-1], few[::-1]
        if packed.per_axis:
            few = (packed.outputs,)
        tensors = [
            MadeTensor(f"{name}.qweight", dtype, whole, lambda: self._weight(packed, signed)),
            MadeTensor(f"{name}.scales", packed.float_type, few, lambda: [self._laid(packed.floats())]),
        ]
        if self.zero_points or not signed or not packed.is_symmetric():
            zeros = MadeTensor(f"{name}.qzeros", dtype, few, lambda: [self._zeros(packed, signed)])
            tensors.append(zeros)
        values = [initializer(tensor) for tensor in tensors]
        for value in values:
            register(packed.weight, value)
        return values

    def _weight(self, packed: _Packed, signed: bool) -> Iterator[Array]:
        """The codes as ONNX packs them, row by row: rows of inputs, or of outputs where it is transposed."""
        coded, bits = packed.packed(), packed.blocks.bits
        if self.transpose:
            step = max(2, STRIP_ELEMENTS // packed.inputs // 2 * 2)  # even: strips end with whole bytes
            for start in range(0, packed.outputs, step):
                codes = unpack(coded[start : start + step].reshape(-1, coded[0].size), bits)
                yield pack(_signed(codes[:, : packed.inputs], bits, signed).reshape(-1), bits)
            return
        step = max(1, STRIP_ELEMENTS // (packed.outputs * packed.blocks.size))
        for start in range(0, packed.along, step):
            codes = unpack(coded[:, start : start + step].reshape(packed.outputs, -1), bits)
            rows = codes[:, : packed.inputs - start * packed.blocks.size].T
            yield pack(_signed(rows, bits, signed).reshape(-1), bits)

    def _zeros(self, packed: _Packed, signed: bool) -> Array:
        codes = _signed(packed.zero_codes(), packed.blocks.bits, signed)
        laid = codes if self.transpose else codes.T
        return pack(laid.reshape(-1), packed.blocks.bits)

    def _laid(self, array: Array) -> Array:
        return array if self.transpose else np.ascontiguousarray(array.T)


def _signed(codes: Bytes, bits: int, signed: bool) -> Bytes:
    """Codes less their middle, in as many bits; unchanged where they are not signed."""
    return (codes - np.uint8(2 ** (bits - 1))) & np.uint8(2**bits - 1) if signed else codes


@dataclass(frozen=True, slots=True)
class _Packed:
    """The constant inputs of a MatMulNBits."""

    weight: ir.Value
    scales: ir.Value
    zeros: ir.Value | None
    bias: ir.Value | None
    blocks: Blocks
    inputs: int
    outputs: int

    @property
    def along(self) -> int:
        return self.blocks.along(self.inputs)

    @property
    def per_axis(self) -> bool:
        """Whether a whole column shares a scale."""
        return self.along == 1

    @property
    def middle(self) -> int:
        return int(2 ** (self.blocks.bits - 1))

    @property
    def float_type(self) -> ir.DataType:
        return _tensor(self.scales).dtype

    def packed(self) -> Bytes:
        """(N, blocks, bytes)"""
        return _bytes(self.weight).reshape(self.outputs, self.along, -1)

    def floats(self) -> Array:
        """(N, blocks)"""
        return _array(self.scales).reshape(self.outputs, -1)

    def zero_codes(self) -> Bytes:
        """(N, blocks)"""
        if self.zeros is None:
            return np.full((self.outputs, self.along), self.middle, np.uint8)
        return unpack(_bytes(self.zeros).reshape(self.outputs, -1), self.blocks.bits)[:, : self.along]

    def is_symmetric(self) -> bool:
        return self.zeros is None or bool(np.all(self.zero_codes() == self.middle))


def _read(node: ir.Node) -> _Packed | None:
    """None where the node cannot be written with DequantizeLinear: inputs that are computed, float zero
    points, an order of columns, other bits."""
    given = [*node.inputs, *[None] * 6]
    constants = [constant(node, place) for place in range(1, 6)]
    if any(value is not None and found is None for value, found in zip(given[1:6], constants, strict=False)):
        return None
    weight, scales, zeros, order, bias = constants
    numbers = {name: node.attributes.get_int(name, 0) for name in ("K", "N", "bits", "block_size")}
    bits = numbers["bits"] or 4
    if weight is None or scales is None or bits not in (2, 4, 8) or not numbers["block_size"]:
        return None
    if zeros is not None and zeros.dtype != ir.DataType.UINT8:
        return None
    blocks = Blocks(bits, numbers["block_size"], zeros is None)
    packed = _Packed(weight, scales, zeros, bias, blocks, numbers["K"], numbers["N"])
    plain = np.arange(packed.inputs) // packed.blocks.size
    if order is not None and not np.array_equal(_array(order)[: packed.inputs], plain):
        return None
    return packed


def _tensor(value: ir.Value) -> ir.TensorProtocol:
    if value.const_value is None:
        raise ValueError(f"{value.name} is no constant")
    return value.const_value


def _array(value: ir.Value) -> Array:
    array: Array = _tensor(value).numpy()
    return array


def _bytes(value: ir.Value) -> Bytes:
    array: Bytes = _array(value).view(np.uint8)
    return array


def needed_opset(model: ir.Model) -> int:
    """The least opset that the DequantizeLinear of this graph needs."""
    two = (ir.DataType.INT2, ir.DataType.UINT2)
    few = any(value.dtype in two for value in model.graph.initializers.values())
    return OPSET_OF_TWO_BITS if few else OPSET


def fresh(node: ir.Node, operator: str, taken: set[str | None]) -> str:
    """A name for what stands in a node's place: its own, with the new operator's name in it."""
    old = node.name or ""
    kind = next((text for text in ("MatMulNBits", "MatMul_Q4", "MatMul_Q8") if text in old), None)
    base = old.replace(kind, operator) if kind else f"{old}_{operator}"
    name, number = base, 0
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    return name
