"""AWQ: inputs that are large on average get a finer grid, by scaling their weights up and themselves down.

Lin, Tang, Tang, Yang, Chen, Wang, Xiao, Dang, Gan, Han, "AWQ: Activation-aware Weight Quantization for LLM
Compression and Acceleration" (MLSys 2024, arXiv 2306.00978). The scaling of the inputs is folded into what
makes them: the norm before, or the rows of the projection before; where that would change what the layer
computes (an activation between the two that is not linear), it is left out: measured, not assumed. Then the
range of every block is clipped where that lessens the error of the output. The paper rounds to nearest on
these grids; here errors are carried over as in GPTQ, and the codes then go down the error that is left
(`descent.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from modelpress_plugins.grids.grid import Codes, Grid, as_blocks, minmax, on_grid
from modelpress_plugins.quantize.algorithms.clip import AutoClip
from modelpress_plugins.quantize.algorithms.descent import descend
from modelpress_plugins.quantize.algorithms.folds import Fold, HeadTie, NormFold, PairFold, norm_offset
from modelpress_plugins.quantize.algorithms.gptq import Gptq, round_in_turn
from modelpress_plugins.quantize.inputs import InputStatistics
from modelpress_plugins.quantize.layer import LayerView, LinearPart

STEPS = 20
"""Exponents tried between 0 (no scaling) and 1."""


@dataclass(frozen=True, slots=True)
class Awq:
    """n_grid, max_shrink: of the clipping (`clip.AutoClip`)."""

    prepares: ClassVar[bool] = True

    n_grid: int = 20
    max_shrink: float = 0.5

    def prepare(self, layer: LayerView) -> dict[str, Tensor]:
        """Scale the layer's weights in place; the float tensors that changed, by their names."""
        changed: dict[str, Tensor] = {}
        for fold in self._folds(layer):
            if not fold.preserves(layer):
                layer.refused.append(fold.title)
                continue
            scale = self._best_scale(fold.readers, layer.inputs_of(fold.readers[0]), fold.tie)
            fold.apply(scale)
            layer.inputs_of(fold.readers[0]).rescale(1 / scale)
            changed.update(fold.changed(layer))
        return changed

    def quantize(self, weight: Tensor, grid: Grid, inputs: InputStatistics) -> Codes:
        """weight: float32 (out, in)."""
        size = grid.group_size
        turns = inputs.remembered(("turns", size), lambda: Gptq().turns(inputs.gram, size))
        scales, zeros = AutoClip(self.n_grid, self.max_shrink).grids(weight, grid, inputs)

        def clipped(_: Tensor, places: slice) -> tuple[Tensor, Tensor]:
            group = int(turns.order[places.start]) // size
            return scales[:, group], zeros[:, group]

        return descend(weight, round_in_turn(weight, turns, grid, clipped), inputs.gram)

    def _folds(self, layer: LayerView) -> Iterator[Fold]:
        """Where inputs can be scaled: at the norm that makes them, or at the projection."""
        for name, norm in layer.norms():
            if readers := layer.readers_of(name):
                yield NormFold(readers, name, norm, norm_offset(norm))
        for writer, reader in ((layer.part("v"), layer.part("o")), (layer.part("up"), layer.part("down"))):
            if writer and reader and reader.weight.shape[1] % writer.rows == 0:
                repeat = reader.weight.shape[1] // writer.rows
                tie = HeadTie(repeat, layer.head_size if repeat > 1 else 1)
                yield PairFold([reader], writer, tie)

    def _best_scale(
        self, readers: Sequence[LinearPart], inputs: InputStatistics, tie: HeadTie | None
    ) -> Tensor:
        """(in,): the scale with the least error of the readers' outputs after rounding to nearest."""
        size = inputs.sample.abs().mean(0)
        weights = torch.stack([_relative_magnitude(r.weight, r.grid.group_size) for r in readers]).mean(0)
        best, least = torch.ones_like(size), float("inf")
        for scale in _candidates(size.clamp_min(1e-6), weights.clamp_min(1e-6)):
            tied = tie.spread(scale) if tie else scale
            error = sum(_output_error(r, tied, inputs) for r in readers)
            if error < least:
                best, least = tied, error
        return best


def _candidates(size: Tensor, weights: Tensor) -> Iterator[Tensor]:
    """size, weights: (in,), how large inputs and weights are; every second one weighs them against each
    other."""
    for step in range(STEPS):
        exponent = step / STEPS
        yield _balanced(size.pow(exponent))
        if step:
            yield _balanced(size.pow(exponent) / weights.pow(1 - exponent))


def _balanced(scale: Tensor) -> Tensor:
    bounded = scale.clamp_min(1e-4)
    return bounded / (bounded.amax() * bounded.amin()).sqrt()


def _relative_magnitude(weight: Tensor, group_size: int) -> Tensor:
    """(in,): the mean over rows of each weight's share of the largest in its block."""
    blocks = as_blocks(weight, group_size).abs()
    return (blocks / blocks.amax(-1, keepdim=True).clamp_min(1e-12)).mean(0).flatten()


def _output_error(reader: LinearPart, scale: Tensor, inputs: InputStatistics) -> float:
    """The mean square that the outputs move by, summed over them, when weight * scale is rounded."""
    blocks = as_blocks(reader.weight * scale, reader.grid.group_size)
    rounded = on_grid(blocks, *minmax(blocks, reader.grid), reader.grid.bits).view_as(reader.weight)
    return inputs.output_error(rounded.div_(scale).sub_(reader.weight))
