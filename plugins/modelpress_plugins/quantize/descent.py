"""Coordinate descent on the codes of a block: each moves to where the block's share of the output errs least,
the others held. What Awq ends with; it sees the correlations of inputs within a block."""

from __future__ import annotations

import torch
from torch import Tensor

from modelpress_plugins.quantize.grid import Grid, codes_of, reciprocal

SWEEPS = 3


def descend(
    blocks: Tensor, scales: Tensor, zeros: Tensor, gram: Tensor, grid: Grid, sweeps: int = SWEEPS
) -> tuple[Tensor, Tensor]:
    """(codes float32, scales) that lessen (w - s l)^T G (w - s l) for every block.

    blocks: (groups, out, size); scales, zeros: (groups, out); gram: (groups, size, size).
    """
    damped = gram.clone()
    diagonal = damped.diagonal(dim1=1, dim2=2)
    diagonal.add_(0.01 * diagonal.mean(1, keepdim=True) + 1e-12)
    codes = codes_of(blocks, scales, zeros, grid.bits)
    offset = zeros.unsqueeze(-1)
    for _ in range(sweeps):
        error = blocks - (codes - offset) * scales.unsqueeze(-1)
        pull = torch.bmm(error, damped)  # minus half the gradient by each weight
        inverse = reciprocal(scales)
        for at in range(blocks.shape[-1]):
            wanted = codes[..., at] + torch.floor(pull[..., at] / diagonal[:, at : at + 1] * inverse + 0.5)
            moved = wanted.clamp_(0, grid.top) - codes[..., at]
            codes[..., at] += moved
            pull.addcmul_((moved * scales).unsqueeze(-1), damped[:, at].unsqueeze(1), value=-1)
        scales = _refit(blocks, codes - offset, scales, damped)
    return codes, scales


def _refit(blocks: Tensor, levels: Tensor, scales: Tensor, gram: Tensor) -> Tensor:
    weighted = torch.bmm(levels, gram)
    power = (weighted * levels).sum(-1)
    return torch.where(power > 0, (weighted * blocks).sum(-1) / power.clamp_min(1e-38), scales)
