"""Clip the range of each block where that lessens the error of the layer's output, measured on real inputs.

The search of AWQ (arXiv 2306.00978, its "clip" step) and of BitDistiller's AutoClip (Du et al., arXiv
2402.10631). The error of one block's contribution, d^T G d with G the Gram matrix of that block's inputs,
is exact and costs no pass over samples; the scale is then fitted to the codes in the same measure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from modelpress_plugins.grids.grid import Codes, Grid, affine_between, as_blocks, codes_of, encode, minmax
from modelpress_plugins.grids.row_blocks import row_blocks
from modelpress_plugins.quantize.inputs import InputStatistics
from modelpress_plugins.quantize.layer import LayerView

ROWS_ELEMENTS = 2**19


@dataclass(frozen=True, slots=True)
class AutoClip:
    """n_grid: steps of the search over the whole range. max_shrink: the share that may be clipped."""

    prepares: ClassVar[bool] = False

    n_grid: int = 20
    max_shrink: float = 0.5

    def prepare(self, layer: LayerView) -> dict[str, Tensor]:
        """Nothing to do."""
        return {}

    def quantize(self, weight: Tensor, grid: Grid, inputs: InputStatistics) -> Codes:
        """weight: float32 (out, in)."""
        return encode(weight, *self.grids(weight, grid, inputs), grid)

    def grids(self, weight: Tensor, grid: Grid, inputs: InputStatistics) -> tuple[Tensor, Tensor]:
        """(scales, zeros), float32 (out, groups), of a weight (out, in)."""
        gram = inputs.remembered(
            ("blocks", grid.group_size), lambda: gram_blocks(inputs.gram, grid.group_size)
        )
        shares = [1 - step / self.n_grid for step in range(int(self.max_shrink * self.n_grid) + 1)]
        blocks = as_blocks(weight.contiguous(), grid.group_size)
        found = [
            clipped_grid(blocks[start:stop], gram, grid, shares)
            for start, stop in row_blocks(0, weight.shape[0], weight.shape[1], ROWS_ELEMENTS)
        ]
        return torch.cat([scales for scales, _ in found]), torch.cat([zeros for _, zeros in found])


def gram_blocks(gram: Tensor, group_size: int) -> Tensor:
    """The blocks on the diagonal: (in, in) -> (groups, group_size, group_size)."""
    groups = len(gram) // group_size
    at = torch.arange(groups, device=gram.device)
    return gram.view(groups, group_size, groups, group_size)[at, :, at].contiguous()


def clipped_grid(blocks: Tensor, gram: Tensor, grid: Grid, shares: list[float]) -> tuple[Tensor, Tensor]:
    """(scales, zeros), float32 (out, groups). blocks: (out, groups, size); gram: (groups, size, size)."""
    by_group = blocks.transpose(0, 1).contiguous()  # (groups, out, size): what bmm wants
    scales, zeros = minmax(by_group, grid)
    best = torch.full_like(scales, torch.inf)
    for start, zero in _ranges(by_group, scales, zeros, grid, shares):
        levels = codes_of(by_group, start, zero, grid.bits).sub_(zero.unsqueeze(-1))
        weighted = torch.bmm(levels, gram)
        power = (weighted * levels).sum(-1)
        fitted = torch.where(power > 0, (weighted * by_group).sum(-1) / power.clamp_min(1e-38), start)
        for scale in (start, fitted):
            error = _error(by_group, gram, scale, zero, grid)
            better = error < best
            scales, zeros = torch.where(better, scale, scales), torch.where(better, zero, zeros)
            best = torch.where(better, error, best)
    return scales.T.contiguous(), zeros.T.contiguous()


def _error(blocks: Tensor, gram: Tensor, scales: Tensor, zeros: Tensor, grid: Grid) -> Tensor:
    """(groups, out): how far the output moves, in the mean of squares over the inputs."""
    moved = codes_of(blocks, scales, zeros, grid.bits).sub_(zeros.unsqueeze(-1)).mul_(scales.unsqueeze(-1))
    moved.sub_(blocks)
    return (torch.bmm(moved, gram) * moved).sum(-1)


def _ranges(
    blocks: Tensor, scales: Tensor, zeros: Tensor, grid: Grid, shares: list[float]
) -> list[tuple[Tensor, Tensor]]:
    if grid.symmetric:
        flipped = -scales * grid.middle / (grid.middle - 1)
        return [(start * share, zeros) for share in shares for start in (scales, flipped)]
    low, high = blocks.amin(-1).clamp_(max=0), blocks.amax(-1).clamp_(min=0)
    both = [affine_between(low * share, high * share, grid.bits) for share in shares]
    below = [affine_between(low * share, high, grid.bits) for share in shares[2::3]]
    above = [affine_between(low, high * share, grid.bits) for share in shares[2::3]]
    return both + below + above
