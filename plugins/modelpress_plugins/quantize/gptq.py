"""GPTQ: column by column, the error of rounding is carried over to the columns that are still to come.

Frantar, Ashkboos, Hoefler, Alistarh, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
Transformers" (ICLR 2023, arXiv 2210.17323). All rows go together; updates beyond the current block of columns
are made once per block.

The builder has no `g_idx`, so columns may not be reordered across groups in the result. Group-aware ordering
(Gafni, Karnieli, Hanani, "Dual Precision Quantization for Efficient and Accurate Deep Neural Networks
Inference", arXiv 2505.14638) permutes whole groups, and columns within each group, and undoes both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from modelpress.api import PassError
from modelpress_plugins.quantize.grid import Codes, Grid, reciprocal
from modelpress_plugins.quantize.inputs import InputStatistics
from modelpress_plugins.quantize.layer import LayerView
from modelpress_plugins.quantize.search import best_grid

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
        order, factor = inputs.remembered(
            (grid.group_size, self), lambda: self._prepare(inputs.gram, grid.group_size)
        )
        transposed = weight.T[order].contiguous()  # (in, out), columns of the weight in order
        values, scales, zeros = _sweep(transposed, factor, grid)
        back = torch.argsort(order)
        group_back = torch.argsort(order[:: grid.group_size] // grid.group_size)
        codes = values[back].T.contiguous()
        scales = scales[group_back].T.contiguous()
        kept = None if grid.symmetric else zeros[group_back].T.contiguous().to(torch.uint8)
        return Codes(codes, scales, kept, grid)

    def _prepare(self, gram: Tensor, group_size: int) -> tuple[Tensor, Tensor]:
        """(order of the columns, upper Cholesky factor of the inverse Gram matrix in that order)."""
        diagonal = gram.diagonal()
        order = group_aware_order(diagonal, group_size) if self.group_aware else torch.arange(len(gram))
        return order, inverse_factor(gram[order][:, order], self.damp_percent)


def group_aware_order(diagonal: Tensor, group_size: int) -> Tensor:
    """Columns with the largest inputs first, groups kept whole: (in,) of column numbers."""
    groups = diagonal.view(-1, group_size)
    within = torch.argsort(groups, dim=1, descending=True, stable=True)
    across = torch.argsort(groups.amax(1), descending=True, stable=True)
    columns = within + torch.arange(len(groups), device=diagonal.device).unsqueeze(1) * group_size
    order: Tensor = columns[across].flatten()
    return order


def inverse_factor(gram: Tensor, damp_percent: float) -> Tensor:
    """Upper Cholesky factor of the inverse of the damped gram (in, in), which is used up.

    Damping grows tenfold until the matrix is positive definite. Raises PassError when it never is.
    """
    diagonal = gram.diagonal().clone()
    damp = max(damp_percent, 1e-6)
    while damp <= 10:
        gram.diagonal().copy_(diagonal + damp * diagonal.mean() + 1e-12)
        factor, failed = torch.linalg.cholesky_ex(gram)
        if not failed:
            factor = torch.cholesky_inverse(factor)
            factor, failed = torch.linalg.cholesky_ex(factor, upper=True)
            if not failed and bool(torch.isfinite(factor.diagonal()).all()):
                upper: Tensor = factor
                return upper
        damp *= 10
    raise PassError(
        "The inputs of a module give no usable Gram matrix, even heavily damped.",
        "Calibrate on more, and more varied, data.",
    )


def _sweep(weight: Tensor, factor: Tensor, grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
    """Quantize weight (in, out), which is used up. (codes uint8 (in, out), scales, zeros (groups, out))."""
    columns, rows = weight.shape
    size = max(BLOCK, grid.group_size)
    values = torch.empty(columns, rows, dtype=torch.uint8, device=weight.device)
    scales = torch.empty(columns // grid.group_size, rows, device=weight.device)
    zeros = torch.empty_like(scales)
    importance = factor.diagonal().pow(-2)  # what an error in each column costs once all later ones adapt
    for start in range(0, columns, size):
        stop = min(start + size, columns)
        errors = torch.empty(stop - start, rows, device=weight.device)
        for at in range(start, stop):
            if at % grid.group_size == 0:
                group, end = at // grid.group_size, at + grid.group_size
                blocks = weight[at:end].T.unsqueeze(1).contiguous()  # (out, 1, group_size)
                found = best_grid(blocks, importance[at:end], grid)
                scales[group], zeros[group] = found[0][:, 0], found[1][:, 0]
                inverse, shift = reciprocal(scales[group]), zeros[group] + 0.5
            codes = torch.floor_(weight[at] * inverse + shift).clamp_(0, grid.top)
            values[at] = codes
            rounded = codes.sub_(zeros[group]).mul_(scales[group])
            error = (weight[at] - rounded).div_(factor[at, at])
            errors[at - start] = error
            weight[at + 1 : stop].addr_(factor[at, at + 1 : stop], error, alpha=-1)
        weight[stop:].addmm_(factor[start:stop, stop:].T, errors, alpha=-1)
    return values, scales, zeros
