"""K-quant: a search over the range of each block for the scale and offset with the least weighted error.

After the k-quants of llama.cpp (I. Kawrakow, https://github.com/ggml-org/llama.cpp/pull/1684): candidate
ranges give codes; for fixed codes the best scale and offset are a weighted least-squares fit; larger
weights count more. Needs no data. MatMulNBits holds whole zero points only, so each candidate is judged
with its zero point already rounded.
"""

from __future__ import annotations

import torch
from torch import Tensor

from modelpress_plugins.quantize.grid import Codes, Grid, as_blocks, codes_of, encode, minmax

STEPS = 20
"""Candidate ranges: the full one, made up to a tenth narrower or wider."""


def k_quant(weight: Tensor, grid: Grid) -> Codes:
    """weight: float32 (out, in)."""
    blocks = as_blocks(weight, grid.group_size)
    importance = blocks.square().mean(-1, keepdim=True).sqrt() + blocks.abs()
    scales, zeros = minmax(blocks, grid)
    best = _error(blocks, scales, zeros, importance, grid)
    start = scales
    for step in range(STEPS):
        stretched = start * (1.1 - 0.025 * step)
        candidates = (stretched, zeros) if grid.symmetric else (stretched, _best_zeros(blocks, stretched, grid))
        scales, zeros, best = _keep_better(blocks, importance, grid, candidates, (scales, zeros), best)
    return encode(weight, scales, zeros, grid)


def _keep_better(
    blocks: Tensor,
    importance: Tensor,
    grid: Grid,
    candidate: tuple[Tensor, Tensor],
    current: tuple[Tensor, Tensor],
    best: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Refit the candidate's scale to its own codes; (scales, zeros, error) of the better, per block."""
    scales, zeros = candidate
    levels = codes_of(blocks, scales, zeros, grid.bits) - zeros.unsqueeze(-1)
    fitted = fit_scales(blocks, levels, importance, scales)
    error = _error(blocks, fitted, zeros, importance, grid)
    better = error < best
    return (
        torch.where(better, fitted, current[0]),
        torch.where(better, zeros, current[1]),
        torch.where(better, error, best),
    )


def fit_scales(blocks: Tensor, levels: Tensor, importance: Tensor, otherwise: Tensor) -> Tensor:
    """The scale s with the least sum of importance * (blocks - s * levels)^2; (out, groups)."""
    weighted = importance * levels
    power = (weighted * levels).sum(-1)
    return torch.where(power > 0, (weighted * blocks).sum(-1) / power.clamp_min(1e-38), otherwise)


def _best_zeros(blocks: Tensor, scales: Tensor, grid: Grid) -> Tensor:
    """Whole zero points that centre the grid on the block's range."""
    low, high = blocks.amin(-1), blocks.amax(-1)
    safe = torch.where(scales == 0, torch.ones_like(scales), scales)
    centred = grid.top / 2 - (high + low) / (2 * safe)
    return torch.floor(centred + 0.5).clamp_(0, grid.top)


def _error(blocks: Tensor, scales: Tensor, zeros: Tensor, importance: Tensor, grid: Grid) -> Tensor:
    rounded = codes_of(blocks, scales, zeros, grid.bits).sub_(zeros.unsqueeze(-1)).mul_(scales.unsqueeze(-1))
    return rounded.sub_(blocks).square_().mul_(importance).sum(-1)
