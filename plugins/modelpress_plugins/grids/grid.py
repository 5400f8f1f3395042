"""The grid that weights are rounded to: blocks along a row share a scale and a zero point.

    weight = scale * (code - zero),  0 <= code < 2 ** bits

Everywhere: `weight` is (out, in) float32, `blocks` the same numbers as (out, groups, group_size).
Rounding is `floor(x + 0.5)` and the symmetric scale puts the block's largest magnitude, sign included, on
code 0: this is what onnxruntime's own quantizer does, so that round-to-nearest gives the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Grid:
    """bits: 2, 4 or 8. group_size: weights that share a scale. symmetric: the zero is the middle code."""

    bits: int
    group_size: int
    symmetric: bool

    @property
    def top(self) -> int:
        """The highest code."""
        return int(2**self.bits) - 1

    @property
    def middle(self) -> int:
        """The code of 0.0 on a symmetric grid."""
        return int(2 ** (self.bits - 1))

    @property
    def bits_per_weight(self) -> float:
        """Storage, scales (float32) and zero points counted."""
        return self.bits + (32 + (0 if self.symmetric else self.bits)) / self.group_size


@dataclass(slots=True)
class Codes:
    """A quantized weight. values: uint8 (out, in); scales: float32 (out, groups); zeros: uint8
    (out, groups), or None on a symmetric grid."""

    values: Tensor
    scales: Tensor
    zeros: Tensor | None
    grid: Grid

    def dequantize(self) -> Tensor:
        """float32 (out, in)."""
        blocks = as_blocks(self.values, self.grid.group_size).float()
        zeros = self.grid.middle if self.zeros is None else self.zeros.float().unsqueeze(-1)
        return ((blocks - zeros) * self.scales.unsqueeze(-1)).view_as(self.values)


def as_blocks(weight: Tensor, group_size: int) -> Tensor:
    """(out, in) -> (out, groups, group_size), a view."""
    return weight.view(weight.shape[0], -1, group_size)


def symmetric_scales(blocks: Tensor, bits: int) -> Tensor:
    """(out, groups); the signed extreme of each block falls on code 0. 0 for an all-zero block."""
    high, low = blocks.amax(-1), blocks.amin(-1)
    extreme: Tensor = torch.where(high.abs() > low.abs(), high, low)
    return extreme / float(-(2 ** (bits - 1)))


def affine_range(blocks: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """(scales, zeros), each float32 (out, groups): [min, max] of each block, widened to hold 0."""
    low, high = blocks.amin(-1).clamp_(max=0), blocks.amax(-1).clamp_(min=0)
    return affine_between(low, high, bits)


def affine_between(low: Tensor, high: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """(scales, zeros) of the range [low, high], low <= 0 <= high; both keep the shape of low."""
    top = 2**bits - 1
    scales = (high - low) / top
    zeros = torch.where(scales > 0, -low / scales, torch.full_like(scales, 2 ** (bits - 1)))
    return scales, torch.floor(zeros + 0.5).clamp_(0, top)


def minmax(blocks: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """(scales, zeros), each float32 (out, groups), by the extremes of each block."""
    if grid.symmetric:
        scales = symmetric_scales(blocks, grid.bits)
        return scales, torch.full_like(scales, float(grid.middle))
    return affine_range(blocks, grid.bits)


def reciprocal(scales: Tensor) -> Tensor:
    """1 / scales, and 0 where the scale is 0: an all-zero block then gets the code of zero."""
    return torch.where(scales == 0, torch.zeros_like(scales), 1 / scales)


def codes_of(blocks: Tensor, scales: Tensor, zeros: Tensor, bits: int) -> Tensor:
    """Nearest codes, float32 with whole values, in the shape of blocks; scales and zeros (out, groups)."""
    shifted = blocks * reciprocal(scales).unsqueeze(-1)
    return shifted.add_((zeros + 0.5).unsqueeze(-1)).floor_().clamp_(0, 2**bits - 1)


def on_grid(blocks: Tensor, scales: Tensor, zeros: Tensor, bits: int) -> Tensor:
    """The values that the blocks are rounded to, float32, in their shape."""
    return codes_of(blocks, scales, zeros, bits).sub_(zeros.unsqueeze(-1)).mul_(scales.unsqueeze(-1))


def encode(weight: Tensor, scales: Tensor, zeros: Tensor, grid: Grid) -> Codes:
    """Round a weight (out, in) to the grid that scales and zeros (out, groups) span."""
    blocks = as_blocks(weight, grid.group_size)
    shifted = blocks * reciprocal(scales).unsqueeze(-1)
    shifted.add_((zeros + 0.5).unsqueeze(-1)).clamp_(0, grid.top)  # the cast below rounds towards 0
    values = shifted.to(torch.uint8).view(weight.shape)
    return Codes(values, scales, None if grid.symmetric else zeros.to(torch.uint8), grid)
