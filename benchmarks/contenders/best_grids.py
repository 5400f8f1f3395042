"""Quantize with the best scale and zero point of every block, found by trying: best_grids.py MODEL OUT

4 bits, blocks of 32, whole zero points, least squared error of the weights. Every zero point is tried at many
scales, each scale refitted to its codes: 896 candidates a block, where the passes try a dozen or two. No search
for the least error of the weights can find better grids.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

from modelpress_plugins.grids.grid import Codes, Grid, as_blocks, codes_of, encode
from modelpress_plugins.grids.search import fit_scales, weighted_error
from modelpress_plugins.grids.stream import stream_model
from modelpress_plugins.grids.targets import Choice

_SHARES = [0.60 + 0.01 * step for step in range(56)]
"""Of the block's range, which its scale spans."""


def best_grids(weight: Tensor, grid: Grid) -> Codes:
    """weight: float32 (out, in)."""
    blocks = as_blocks(weight, grid.group_size)
    span = (blocks.amax(-1) - blocks.amin(-1)).clamp_min(1e-12) / grid.top
    scales, zeros = span.clone(), torch.zeros_like(span)
    best = torch.full_like(span, torch.inf)
    for share in _SHARES:
        for code in range(grid.top + 1):
            zero = torch.full_like(span, float(code))
            levels = codes_of(blocks, span * share, zero, grid.bits).sub_(code)
            fitted = fit_scales(blocks, levels, 1.0, span * share)
            error = weighted_error(blocks, fitted, zero, 1.0, grid.bits)
            better = error < best
            scales, zeros = torch.where(better, fitted, scales), torch.where(better, zero, zeros)
            best = torch.where(better, error, best)
    return encode(weight, scales, zeros, grid)


def main(model: str, out: str) -> None:
    choice = Choice(Grid(4, 32, symmetric=False))
    stream_model(Path(model), Path(out), choice, best_grids, "best_grids", lambda *_: None)


main(*sys.argv[1:])
