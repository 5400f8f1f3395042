"""Coordinate descent on codes: each moves to where the output errs least, its neighbours held. What Awq ends
with; unlike clipping it sees that inputs are correlated, within windows of columns."""

from __future__ import annotations

import torch
from torch import Tensor

from modelpress_plugins.quantize.grid import Codes, Grid, as_blocks, reciprocal

WINDOW = 256
"""Columns that are looked at together, at least a group."""


def window_of(columns: int, group_size: int) -> int:
    """Whole groups, and a whole number of windows in a row."""
    window = max(group_size, WINDOW)
    while columns % window and window > group_size:
        window //= 2
    return window


def descend(weight: Tensor, start: Codes, gram: Tensor, sweeps: int) -> Codes:
    """Better codes and scales for a weight (out, in); zero points stay. gram: (windows, window, window), of
    the inputs of each window."""
    grid, window = start.grid, gram.shape[-1]
    damped = gram.clone()
    diagonal = damped.diagonal(dim1=1, dim2=2)
    diagonal.add_(0.01 * diagonal.mean(1, keepdim=True) + 1e-12)
    blocks = _windows(weight, window)
    levels = _windows(start.values.float() - _columns(_zeros(start), grid.group_size), window)
    offset = _windows(_columns(_zeros(start), grid.group_size).expand_as(weight), window)
    scales = start.scales
    for _ in range(sweeps):
        steps = _windows(_columns(scales, grid.group_size), window)
        pull = torch.bmm(blocks - levels * steps, damped)  # minus half the gradient by each weight
        inverse = reciprocal(steps)
        for at in range(window):
            old = levels[..., at] + offset[..., at]
            wanted = old + torch.floor(pull[..., at] / diagonal[:, at : at + 1] * inverse[..., at] + 0.5)
            moved = wanted.clamp_(0, grid.top) - old
            levels[..., at] += moved
            pull.addcmul_((moved * steps[..., at]).unsqueeze(-1), damped[:, at].unsqueeze(1), value=-1)
        scales = _refitted(blocks, levels, steps, damped, grid)
    values = (levels + offset).transpose(0, 1).to(torch.uint8).reshape(weight.shape)
    return Codes(values, scales, start.zeros, grid)


def _refitted(blocks: Tensor, levels: Tensor, steps: Tensor, gram: Tensor, grid: Grid) -> Tensor:
    """Scales (out, groups): each group's is fitted in turn, the other groups of its window held."""
    steps = steps.clone()
    size = grid.group_size
    for first in range(0, blocks.shape[-1], size):
        group = slice(first, first + size)
        pull = torch.bmm(blocks - levels * steps, gram[:, :, group])
        own = levels[..., group]
        power = (torch.bmm(own, gram[:, group, group]) * own).sum(-1)
        change = (pull * own).sum(-1) / power.clamp_min(1e-38)
        change = torch.where(power > 0, change, torch.zeros_like(power))
        steps[..., group] += change.unsqueeze(-1)
    rows = steps.transpose(0, 1).reshape(blocks.shape[1], -1)
    return rows[:, ::size].contiguous()


def _windows(weight: Tensor, window: int) -> Tensor:
    """(out, in) -> (windows, out, window), a copy."""
    return as_blocks(weight.contiguous(), window).transpose(0, 1).contiguous()


def _columns(per_group: Tensor, group_size: int) -> Tensor:
    """(out, groups) -> (out, in)."""
    return per_group.repeat_interleave(group_size, 1)


def _zeros(codes: Codes) -> Tensor:
    if codes.zeros is None:
        return torch.full_like(codes.scales, float(codes.grid.middle))
    return codes.zeros.float()
