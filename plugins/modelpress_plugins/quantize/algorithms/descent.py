"""Coordinate descent on codes: each moves to where the output errs least, all others held; in the end the
scales are fitted to the codes. What Awq ends with.

As in GPTQ, updates beyond the current block of columns are made once per block.
"""

from __future__ import annotations

import torch
from torch import Tensor

from modelpress_plugins.grids.grid import Codes, Grid, reciprocal
from modelpress_plugins.grids.row_blocks import row_blocks

BLOCK = 128
"""Columns between two updates of all others."""

SWEEPS = 2

DAMPING = 0.01
"""Share of the mean of the Gram matrix's diagonal that is added to it, as in GPTQ: an input that was nearly
dead while calibrating must not get codes that only serve the others."""

ROWS_ELEMENTS = 2**22
"""Elements of a weight that are worked on at once: rows do not depend on each other."""


def descend(weight: Tensor, start: Codes, gram: Tensor) -> Codes:
    """Better codes and scales for a weight (out, in); zero points stay. gram: (in, in), of its inputs."""
    grid = start.grid
    values, scales = torch.empty_like(start.values), torch.empty_like(start.scales)
    zeros = torch.full_like(scales, grid.middle) if start.zeros is None else start.zeros.float()
    for first, last in row_blocks(0, weight.shape[0], weight.shape[1], ROWS_ELEMENTS):
        rows = slice(first, last)
        rows_of = _Rows(weight[rows], start.values[rows], start.scales[rows], zeros[rows], gram, grid)
        for _ in range(SWEEPS):
            rows_of.sweep()
        rows_of.fit_scales()
        values[rows], scales[rows] = rows_of.values(), rows_of.scales.T
    return Codes(values, scales, start.zeros, grid)


class _Rows:
    """Some rows of a weight. Everything is transposed, so that a column lies in one piece.

    levels: (in, out), codes less their zero points
    scales: (groups, out)
    pull:   (in, out), minus half the gradient of the error by each weight; kept up to date
    """

    def __init__(
        self, weight: Tensor, values: Tensor, scales: Tensor, zeros: Tensor, gram: Tensor, grid: Grid
    ) -> None:
        self._gram, self._grid = gram, grid
        self._damping = DAMPING * float(gram.diagonal().mean()) + 1e-12
        self._zeros = zeros.T.contiguous()
        self.scales = scales.T.contiguous()
        self._levels = values.T.float().sub_(self._by_column(self._zeros))
        error = weight.T - self._levels * self._by_column(self.scales)
        self._pull = (gram @ error).add_(error, alpha=self._damping)

    def sweep(self) -> None:
        """Every code once, from the first column to the last."""
        gram, pull, count = self._gram, self._pull, len(self._levels)
        for start in range(0, count, BLOCK):
            stop = min(start + BLOCK, count)
            changes = torch.empty_like(pull[start:stop])
            near = pull[start:stop].clone()
            for at in range(start, stop):
                changes[at - start] = self._move(at, near[at - start])
                near.addr_(gram[start:stop, at], changes[at - start], alpha=-1)
            pull.addmm_(gram[:, start:stop], changes, alpha=-1)
            pull[start:stop].sub_(changes, alpha=self._damping)

    def _move(self, at: int, pull: Tensor) -> Tensor:
        """Move one column's codes; by how much its weights changed, (out,)."""
        group = at // self._grid.group_size
        scale, zero, level = self.scales[group], self._zeros[group], self._levels[at]
        wanted = pull * (reciprocal(scale) / (self._gram[at, at] + self._damping))
        wanted.add_(level + zero + 0.5).floor_().clamp_(0, self._grid.top).sub_(zero)
        change = (wanted - level).mul_(scale)
        level.copy_(wanted)
        return change

    def fit_scales(self) -> None:
        """Each group's by least squares, in turn; `pull` is used up."""
        gram, pull, size = self._gram, self._pull, self._grid.group_size
        for group in range(len(self.scales)):
            own = slice(group * size, (group + 1) * size)
            levels = self._levels[own]
            power = ((gram[own, own] @ levels).add_(levels, alpha=self._damping) * levels).sum(0)
            change = (pull[own] * levels).sum(0) / power.clamp_min(1e-38)
            change = torch.where(power > 0, change, torch.zeros_like(change))
            self.scales[group] += change
            pull[own.stop :].addmm_(gram[own.stop :, own], levels * change, alpha=-1)

    def values(self) -> Tensor:
        """The codes, uint8 (out, in)."""
        return (self._levels + self._by_column(self._zeros)).T.to(torch.uint8)

    def _by_column(self, per_group: Tensor) -> Tensor:
        """(groups, out) -> (in, out)."""
        return per_group.repeat_interleave(self._grid.group_size, 0)
