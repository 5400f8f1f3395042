"""The table of a Gather in codes: blocks lie along each row, which is a word's vector.

The arithmetic is that of onnxruntime's quantizer for tables, which divides and rounds halves to even where
its kernels for MatMul multiply and round them up: the codes are the same, bit for bit.
"""

from __future__ import annotations

import numpy as np

from modelpress_plugins.onnx_graph.graph import Array
from modelpress_plugins.onnx_quantize.blocks import STRIP_ELEMENTS, Blocks, Bytes, pack
from modelpress_plugins.onnx_quantize.weights import Weight

Shape = tuple[int, ...]


def table_shapes(rows: int, columns: int, blocks: Blocks) -> tuple[Shape, Shape]:
    """(of the codes, of scales and zero points)"""
    return (rows, columns), (rows, blocks.along(columns))


def code_table(table: Weight, blocks: Blocks) -> dict[str, Array]:
    """packed, scales and zeros (on an asymmetric grid) of a table, row by row. 4 bits are packed as
    ONNX packs tensors of them; 8 bits are shifted to what is not negative, as the operator takes them."""
    # Rounding takes several times the strip. Even: strips end with whole bytes.
    step = max(2, STRIP_ELEMENTS // 4 // table.shape[1] // 2 * 2)
    packed, scales, zeros = [], [], []
    for strip in table.strips(step):
        codes, scale, zero = _rounded(strip, blocks)
        packed.append(pack(codes.reshape(-1), blocks.bits))
        scales.append(scale)
        zeros.append(pack(zero.reshape(-1), blocks.bits))
    whole = {
        "packed": np.concatenate(packed),
        "scales": np.concatenate(scales).astype(table.dtype.numpy(), copy=False),
    }
    return whole if blocks.symmetric else {**whole, "zeros": np.concatenate(zeros)}


def _rounded(strip: Array, blocks: Blocks) -> tuple[Bytes, Array, Bytes]:
    """(codes (rows, columns), scales (rows, blocks), zero points (rows, blocks))"""
    rows, columns = strip.shape
    data = np.pad(strip, ((0, 0), (0, -columns % blocks.size))).reshape(rows, -1, blocks.size)
    high, low = data.max(-1, keepdims=True), data.min(-1, keepdims=True)
    middle, top = 2 ** (blocks.bits - 1), 2**blocks.bits - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        if blocks.symmetric:
            scales = np.where(np.abs(high) > np.abs(low), high, low) / float(-middle)
            zeros = np.zeros(scales.shape, np.uint8)
            levels = (
                np.where(scales == 0, 0, data / scales).round().clip(-middle, middle - 1).astype(np.int16)
            )
            codes = (levels + (middle if blocks.bits == 8 else 0)).astype(np.uint8) & np.uint8(top)
        else:
            low, high = np.minimum(low, 0), np.maximum(high, 0)
            scales = (high - low) / float(top)
            zeros = np.where(scales == 0, middle, -low / scales).round().clip(0, top).astype(np.uint8)
            levels = np.where(scales == 0, middle, data / scales + zeros).round()
            codes = levels.clip(0, top).astype(np.uint8)
    return codes.reshape(rows, -1)[:, :columns], scales[..., 0], zeros[..., 0]
