"""K-quant: a search over the range of each block for the scale and offset with the least weighted error.

After the k-quants of llama.cpp (I. Kawrakow, https://github.com/ggml-org/llama.cpp/pull/1684): candidate
ranges give codes; for fixed codes the best scale is a weighted least-squares fit; larger weights count
more. Needs no data. MatMulNBits holds whole zero points only, so every candidate is judged with its zero
point already rounded.
"""

from __future__ import annotations

from torch import Tensor

from modelpress_plugins.grids.grid import Codes, Grid, as_blocks, encode
from modelpress_plugins.grids.search import best_grid

SHARES = tuple(1.1 - 0.04 * step for step in range(12))


def k_quant(weight: Tensor, grid: Grid) -> Codes:
    """weight: float32 (out, in)."""
    blocks = as_blocks(weight, grid.group_size)
    importance = blocks.square().mean(-1, keepdim=True).sqrt() + blocks.abs()
    return encode(weight, *best_grid(blocks, importance, grid, SHARES), grid)
