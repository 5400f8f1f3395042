"""onnxruntime's own kernels that quantize weights, in C++: no torch, the bytes of its quantizers."""

from __future__ import annotations

import numpy as np
from onnxruntime.capi import _pybind_state  # type: ignore[import-untyped]

from modelpress_plugins.onnx_graph.graph import Array
from modelpress_plugins.onnx_quantize.blocks import Blocks, Coded, padded

_NEAREST = {
    2: _pybind_state.quantize_matmul_2bits,
    4: _pybind_state.quantize_matmul_4bits,
    8: _pybind_state.quantize_matmul_8bits,
}


def round_to_nearest(strip: Array, blocks: Blocks) -> Coded:
    """A Quantizer."""
    rows, outputs = strip.shape
    packed = np.zeros(blocks.packed_shape(rows, outputs), np.uint8)
    scales = np.zeros(blocks.scales_shape(rows, outputs), strip.dtype)
    zeros = np.zeros(blocks.zeros_shape(rows, outputs), np.uint8)
    kernel = _NEAREST[blocks.bits]
    kernel(packed, padded(strip, blocks.size), scales, zeros, blocks.size, outputs, rows, blocks.symmetric)
    return Coded(packed, scales, None if blocks.symmetric else zeros)


def to_levels(strip: Array, block: int, quant_type: int) -> tuple[Array, Array]:
    """A weight (K, N) on FP4 (0) or NF4 (1) levels: (packed, largest magnitudes), flat, in blocks along the
    transposed weight, one column after the other."""
    rows, columns = strip.shape
    packed = np.zeros(-(-rows * columns // 2), np.uint8)
    largest = np.zeros(-(-rows * columns // block), strip.dtype)
    transposed = np.ascontiguousarray(strip.T)
    _pybind_state.quantize_matmul_bnb4(packed, transposed, largest, block, quant_type, columns, rows)
    return packed, largest
