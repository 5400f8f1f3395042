"""Search for the grid of each block with the least weighted squared error; the ground of several passes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from modelpress_plugins.grids.grid import Grid, codes_of, minmax

SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.74, 0.68)
"""Of the block's min-max range: a narrower grid is finer and clips the extremes."""


def best_grid(
    blocks: Tensor, importance: Tensor, grid: Grid, shares: Iterable[float] = SHARES
) -> tuple[Tensor, Tensor]:
    """(scales, zeros), float32 (out, groups), with the least sum of importance * error^2 in each block.

    importance: not negative, broadcasts with blocks. Each candidate range gives codes; the scale is then
    refitted to them by weighted least squares, which also tells the error that these codes have: no
    candidate is encoded twice. The plain min-max grid is among the candidates.
    """
    scales, zeros = minmax(blocks, grid)
    best = weighted_error(blocks, scales, zeros, importance, grid.bits)
    weighted = blocks * importance
    total = (weighted * blocks).sum(-1)
    for start, zero in candidates(blocks, scales, zeros, grid, shares):
        codes = codes_of(blocks, start, zero, grid.bits)
        if not grid.symmetric:
            zero = _refitted_zeros(blocks, codes, importance, start, grid)
        levels = codes.sub_(zero.unsqueeze(-1))
        pull = (levels * weighted).sum(-1)
        power = levels.square_().mul_(importance).sum(-1)
        fitted = torch.where(power > 0, pull / power.clamp_min(1e-38), start)
        error = total - pull * fitted
        better = error < best
        scales, zeros = torch.where(better, fitted, scales), torch.where(better, zero, zeros)
        best = torch.where(better, error, best)
    return scales, zeros


def fit_scales(blocks: Tensor, levels: Tensor, importance: Tensor | float, otherwise: Tensor) -> Tensor:
    """The scale s with the least sum of importance * (blocks - s * levels)^2; (out, groups).

    levels: codes less their zero. otherwise: the scale of blocks in which every level is 0.
    """
    weighted = levels * importance
    power = (weighted * levels).sum(-1)
    return torch.where(power > 0, (weighted * blocks).sum(-1) / power.clamp_min(1e-38), otherwise)


def weighted_error(
    blocks: Tensor, scales: Tensor, zeros: Tensor, importance: Tensor | float, bits: int
) -> Tensor:
    """(out, groups): the sum of importance * error^2 of each block."""
    rounded = codes_of(blocks, scales, zeros, bits).sub_(zeros.unsqueeze(-1)).mul_(scales.unsqueeze(-1))
    return rounded.sub_(blocks).square_().mul_(importance).sum(-1)


def candidates(
    blocks: Tensor, scales: Tensor, zeros: Tensor, grid: Grid, shares: Iterable[float]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Grids to start from, given the min-max one: (scales, zeros), narrower ranges and, on a symmetric grid,
    the extreme on the highest code as well as on the lowest."""
    if grid.symmetric:
        flipped = -scales * grid.middle / (grid.middle - 1)  # the extreme on the highest code instead
        for share in shares:
            yield scales * share, zeros
            yield flipped * share, zeros
        return
    low, high = blocks.amin(-1), blocks.amax(-1)
    for share in shares:
        span = (high - low) * share / grid.top
        safe = torch.where(span > 0, span, torch.ones_like(span))
        centred = torch.floor(grid.top / 2 - (high + low) / (2 * safe) + 0.5).clamp_(0, grid.top)
        yield span, centred


def _refitted_zeros(
    blocks: Tensor, codes: Tensor, importance: Tensor | float, scales: Tensor, grid: Grid
) -> Tensor:
    """The whole zero points that fit the codes best at these scales."""
    safe = torch.where(scales == 0, torch.ones_like(scales), scales).unsqueeze(-1)
    weights = torch.ones_like(blocks) * importance
    total = weights.sum(-1).clamp_min(1e-38)
    zeros = ((codes - blocks / safe) * weights).sum(-1) / total
    return torch.floor(zeros + 0.5).clamp_(0, grid.top)
