"""GPTQ: column by column, the error of rounding is carried over to the columns that are still to come.

Frantar, Ashkboos, Hoefler, Alistarh, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
Transformers" (ICLR 2023, arXiv 2210.17323). All rows go together; updates beyond the current block of columns
are made once per block.

The builder has no `g_idx`, so columns may not be reordered across groups in the result. Group-aware ordering
(Gafni, Karnieli, Hanani, "Dual Precision Quantization for Efficient and Accurate Deep Neural Networks
Inference", arXiv 2505.14638) permutes whole groups, and columns within each group, and undoes both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from modelpress.api import PassError
from modelpress_plugins.grids.grid import Codes, Grid, reciprocal
from modelpress_plugins.grids.search import best_grid
from modelpress_plugins.quantize.inputs import InputStatistics
from modelpress_plugins.quantize.layer import LayerView

BLOCK = 128
"""Columns between two updates of all columns that follow."""


@dataclass(frozen=True, slots=True)
class Gptq:
    """damp_percent: share of the mean of the Gram matrix's diagonal that is added to it."""

    prepares: ClassVar[bool] = False

    damp_percent: float = 0.01
    group_aware: bool = True

    def prepare(self, layer: LayerView) -> dict[str, Tensor]:
        """Nothing to do."""
        return {}

    def quantize(self, weight: Tensor, grid: Grid, inputs: InputStatistics) -> Codes:
        """weight: float32 (out, in)."""
        turns = inputs.remembered((grid.group_size, self), lambda: self.turns(inputs.gram, grid.group_size))
        importance = turns.factor.diagonal().pow(-2)  # what an error in each costs once all later ones adapt

        def best(columns: Tensor, at: slice) -> tuple[Tensor, Tensor]:
            blocks = columns.T.unsqueeze(1).contiguous()  # (out, 1, group_size)
            scales, zeros = best_grid(blocks, importance[at], grid)
            return scales[:, 0], zeros[:, 0]

        return round_in_turn(weight, turns, grid, best)

    def turns(self, gram: Tensor, group_size: int) -> Turns:
        """gram: float32 (in, in)."""
        diagonal = gram.diagonal()
        order = group_aware_order(diagonal, group_size) if self.group_aware else torch.arange(len(gram))
        return Turns(order, inverse_factor(gram, order, self.damp_percent))


@dataclass(frozen=True, slots=True)
class Turns:
    """order: (in,), in which columns are rounded, groups kept whole. factor: (in, in), the upper Cholesky
    factor of the inverse of the damped Gram matrix in that order."""

    order: Tensor
    factor: Tensor


def group_aware_order(diagonal: Tensor, group_size: int) -> Tensor:
    """Columns with the largest inputs first, groups kept whole: (in,) of column numbers."""
    groups = diagonal.view(-1, group_size)
    within = torch.argsort(groups, dim=1, descending=True, stable=True)
    across = torch.argsort(groups.amax(1), descending=True, stable=True)
    columns = within + torch.arange(len(groups), device=diagonal.device).unsqueeze(1) * group_size
    order: Tensor = columns[across].flatten()
    return order


def inverse_factor(gram: Tensor, order: Tensor, damp_percent: float) -> Tensor:
    """Upper Cholesky factor of the inverse of the damped gram (in, in), its columns in that order.

    Damping grows tenfold until the matrix is positive definite. Raises PassError when it never is.
    """
    mean = gram.diagonal().mean()
    damp = max(damp_percent, 1e-6)
    failed = torch.empty((), dtype=torch.int32, device=gram.device)
    while damp <= 10:
        # In one matrix, with columns in one piece as LAPACK wants them: it is the largest thing in memory.
        factor = gram[order.unsqueeze(1), order].T
        factor.diagonal().add_(damp * mean + 1e-12)
        torch.linalg.cholesky_ex(factor, out=(factor, failed))
        if not failed:
            torch.cholesky_inverse(factor, out=factor)
            torch.linalg.cholesky_ex(factor, upper=True, out=(factor, failed))
            if not failed and bool(torch.isfinite(factor.diagonal()).all()):
                return factor
        damp *= 10
    raise PassError(
        "The inputs of a module give no usable Gram matrix, even heavily damped.",
        "Calibrate on more, and more varied, data.",
    )


def round_in_turn(
    weight: Tensor, turns: Turns, grid: Grid, pick: Callable[[Tensor, slice], tuple[Tensor, Tensor]]
) -> Codes:
    """Codes of a weight (out, in): column by column, the error of each carried over to those that follow.

    pick: (scales, zeros), each (out,), of a group when its turn comes; it is given the group's columns as
    they are by then, (group_size, out), and their places in the order.
    """
    order, factor, group_size = turns.order, turns.factor, grid.group_size
    diagonal = factor.diagonal().tolist()
    columns = weight.T[order].contiguous()  # (in, out)
    count, rows = columns.shape
    size = max(BLOCK, group_size)
    values = torch.empty(count, rows, dtype=torch.uint8, device=weight.device)
    scales = torch.empty(count // group_size, rows, device=weight.device)
    zeros = torch.empty_like(scales)
    level = torch.empty(rows, device=weight.device)
    for start in range(0, count, size):
        stop = min(start + size, count)
        codes, errors = torch.empty(2, stop - start, rows, device=weight.device)
        for at in range(start, stop):
            if at % group_size == 0:
                places = slice(at, at + group_size)
                scale, zero = pick(columns[places], places)
                scales[at // group_size], zeros[at // group_size] = scale, zero
                inverse, shift = reciprocal(scale), zero + 0.5
            code, error = codes[at - start], errors[at - start]
            torch.addcmul(shift, columns[at], inverse, out=code).floor_().clamp_(0, grid.top)
            torch.sub(code, zero, out=level)
            torch.addcmul(columns[at], level, scale, value=-1, out=error).div_(diagonal[at])
            columns[at + 1 : stop].addr_(factor[at, at + 1 : stop], error, alpha=-1)
        values[start:stop] = codes
        columns[stop:].addmm_(factor[start:stop, stop:].T, errors, alpha=-1)
    back, group_back = torch.argsort(order), torch.argsort(order[::group_size] // group_size)
    kept = None if grid.symmetric else zeros[group_back].T.contiguous().to(torch.uint8)
    return Codes(values[back].T.contiguous(), scales[group_back].T.contiguous(), kept, grid)
