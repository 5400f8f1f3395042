"""The rounders of `grids` over a strip: a search for each block's grid, in torch, in threads."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from modelpress_plugins.grids.grid import Codes, Grid
from modelpress_plugins.grids.half_quadratic import half_quadratic
from modelpress_plugins.grids.kquant import k_quant
from modelpress_plugins.grids.row_blocks import row_blocks
from modelpress_plugins.grids.stream import ROWS_ELEMENTS, Rounder
from modelpress_plugins.onnx_graph.graph import Array
from modelpress_plugins.onnx_quantize.blocks import Blocks, Bytes, Coded, Quantizer, pack, padded
from modelpress_plugins.tensors.ordered_threads import StripThreads

ROUNDERS: dict[str, Rounder] = {"k_quant": k_quant, "hqq": half_quadratic}


def quantizer_of(rounder: Rounder, threads: StripThreads) -> Quantizer:
    """Quantize a strip with a rounder of `grids`: that takes rows of outputs, (N, K), in float32."""

    def quantize(strip: Array, blocks: Blocks) -> Coded:
        whole = torch.from_numpy(padded(strip, blocks.size))
        grid = Grid(blocks.bits, blocks.size, blocks.symmetric)

        def some(columns: tuple[int, int]) -> Coded:
            weight = whole[:, slice(*columns)].T.float().contiguous()
            return _coded(rounder(weight, grid), blocks)

        pieces = list(threads.map(some, row_blocks(0, strip.shape[1], whole.shape[0], ROWS_ELEMENTS)))
        scales = np.concatenate([piece.scales for piece in pieces]).astype(strip.dtype)
        zeros = None if blocks.symmetric else np.concatenate([_present(piece.zeros) for piece in pieces])
        return Coded(np.concatenate([piece.packed for piece in pieces]), scales, zeros)

    return quantize


def _coded(codes: Codes, blocks: Blocks) -> Coded:
    values = _bytes(codes.values).reshape(codes.values.shape[0], -1, blocks.size)
    zeros = None if codes.zeros is None else pack(_bytes(codes.zeros), blocks.bits)
    return Coded(pack(values, blocks.bits), codes.scales.numpy(), zeros)


def _bytes(tensor: Tensor) -> Bytes:
    array: Bytes = tensor.numpy()
    return array


def _present(zeros: Bytes | None) -> Bytes:
    if zeros is None:
        raise ValueError("an asymmetric grid has zero points")
    return zeros
