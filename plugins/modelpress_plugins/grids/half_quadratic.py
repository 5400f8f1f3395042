"""HQQ: half-quadratic quantization, data-free, with whole zero points and groups along the row.

Badri and Shaji, "Half-Quadratic Quantization of Large Machine Learning Models" (2023),
https://mobiusml.github.io/hqq_blog/. It minimizes the lp norm (p < 1) of the error, which forgives the few
weights that are clipped, by turns: e becomes a shrunken copy of the error; the grid is fitted to weight - e.

Two things differ from the paper, because MatMulNBits holds whole zero points: the scale is fitted too (by
least squares), and several starting ranges are tried, the best of all steps being kept per block.
"""

from __future__ import annotations

import torch
from torch import Tensor

from modelpress_plugins.grids.grid import Codes, Grid, as_blocks, codes_of, encode, minmax
from modelpress_plugins.grids.search import candidates, fit_scales, weighted_error

SHARES = tuple(1.04 - 0.05 * step for step in range(9))
"""Of the block's range, to start from: a narrower grid is finer and clips the extremes."""

TURNS = 3
"""From each start."""

NORM = 0.7
"""p of the lp norm."""

BETA = 1.5
"""Errors beyond about this many ** (1 / (p - 2)) steps of the grid are taken for outliers."""

GROWTH = 1.2
"""beta grows by this with every turn, so that e ends as the error itself."""


def half_quadratic(weight: Tensor, grid: Grid) -> Codes:
    """weight: float32 (out, in)."""
    blocks = as_blocks(weight, grid.group_size)
    scales, zeros = minmax(blocks, grid)
    best = weighted_error(blocks, scales, zeros, 1.0, grid.bits)
    for current in candidates(blocks, scales, zeros, grid, SHARES):
        beta = BETA
        for _ in range(TURNS):
            current = _fit(blocks, *current, beta, grid)
            error = weighted_error(blocks, *current, 1.0, grid.bits)
            better = error < best
            scales = torch.where(better, current[0], scales)
            zeros = torch.where(better, current[1], zeros)
            best = torch.where(better, error, best)
            beta *= GROWTH
    return encode(weight, scales, zeros, grid)


def _fit(blocks: Tensor, scales: Tensor, zeros: Tensor, beta: float, grid: Grid) -> tuple[Tensor, Tensor]:
    """One turn: (scales, zeros) that fit the weights without their outlying errors."""
    step = scales.unsqueeze(-1)
    codes = codes_of(blocks, scales, zeros, grid.bits)
    levels = codes - zeros.unsqueeze(-1)
    error = blocks - levels * step
    regular = blocks - _shrink(error, step.abs(), beta)
    if not grid.symmetric:
        safe = torch.where(step == 0, torch.ones_like(step), step)
        zeros = torch.floor((codes - regular / safe).mean(-1) + 0.5).clamp_(0, grid.top)
        levels = codes - zeros.unsqueeze(-1)
    return fit_scales(regular, levels, 1.0, scales), zeros


def _shrink(error: Tensor, step: Tensor, beta: float) -> Tensor:
    """The generalized soft threshold of the lp norm, in units of the grid's step."""
    size = error.abs() / step.clamp_min(1e-30)
    kept = (size - size.clamp_min(1e-6).pow(NORM - 1) / beta).clamp_min_(0)
    return torch.sign(error) * kept * step
