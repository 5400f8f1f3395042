"""AWQ: inputs that are large on average get a finer grid, by scaling their weights up and themselves down.

Lin, Tang, Tang, Yang, Chen, Wang, Xiao, Dang, Gan, Han, "AWQ: Activation-aware Weight Quantization for LLM
Compression and Acceleration" (MLSys 2024, arXiv 2306.00978). The scaling of the inputs is folded into what
makes them: the norm before, or the rows of the projection before. Then the range of every block is clipped
where that lessens the error of the output. The paper rounds to nearest on these grids; here errors are
carried over as in GPTQ, and the codes then go down the error that is left (`descent.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from modelpress_plugins.grids.grid import Codes, Grid, as_blocks, minmax, on_grid
from modelpress_plugins.quantize.algorithms.clip import AutoClip
from modelpress_plugins.quantize.algorithms.descent import descend
from modelpress_plugins.quantize.algorithms.gptq import Gptq, round_in_turn
from modelpress_plugins.quantize.inputs import InputStatistics
from modelpress_plugins.quantize.layer import LayerView, LinearPart

STEPS = 20
"""Exponents tried between 0 (no scaling) and 1."""


@dataclass(frozen=True, slots=True)
class Awq:
    """norm_offset: what the model's norms add to their weight (Gemma: 1)."""

    prepares: ClassVar[bool] = True

    clip: AutoClip = field(default_factory=AutoClip)
    norm_offset: float = 0.0

    def prepare(self, layer: LayerView) -> dict[str, Tensor]:
        """Scale the layer's weights in place; the float tensors that changed, by their names."""
        changed: dict[str, Tensor] = {}
        for name, norm in layer.norms():
            readers = layer.readers_of(name)
            if not readers:
                continue
            scale = self._best_scale(readers, layer.inputs_of(readers[0]))
            self._fold_into_norm(norm, scale)
            changed.update(layer.floats(name))
            self._scale_readers(layer, readers, scale)
        for writer, reader in self._pairs(layer):
            repeat = reader.weight.shape[1] // writer.rows
            tie = HeadTie(repeat, layer.head_size if repeat > 1 else 1)
            scale = self._best_scale([reader], layer.inputs_of(reader), tie)
            writer.weight.div_(tie.shared(scale).unsqueeze(1))
            if writer.bias is not None:
                writer.bias.div_(tie.shared(scale))
                changed.update(layer.floats(writer.linear_name, "bias"))
            self._scale_readers(layer, [reader], scale)
        return changed

    def quantize(self, weight: Tensor, grid: Grid, inputs: InputStatistics) -> Codes:
        """weight: float32 (out, in)."""
        size = grid.group_size
        turns = inputs.remembered(("turns", size), lambda: Gptq().turns(inputs.gram, size))
        scales, zeros = self.clip.grids(weight, grid, inputs)

        def clipped(_: Tensor, places: slice) -> tuple[Tensor, Tensor]:
            group = int(turns.order[places.start]) // size
            return scales[:, group], zeros[:, group]

        return descend(weight, round_in_turn(weight, turns, grid, clipped), inputs.gram)

    def _fold_into_norm(self, norm: nn.Module, scale: Tensor) -> None:
        weight: Tensor = norm.weight  # type: ignore[assignment]
        weight.copy_((weight + self.norm_offset) / scale - self.norm_offset)
        if isinstance(bias := getattr(norm, "bias", None), Tensor):
            bias.div_(scale)

    def _scale_readers(self, layer: LayerView, readers: Sequence[LinearPart], scale: Tensor) -> None:
        for reader in readers:
            reader.weight.mul_(scale)
        layer.inputs_of(readers[0]).rescale(1 / scale)

    def _pairs(self, layer: LayerView) -> Iterator[tuple[LinearPart, LinearPart]]:
        """(writer, reader): the reader's inputs are the writer's outputs, times something that does not
        depend on them. With grouped attention each output is read several times over."""
        for writer, reader in ((layer.part("v"), layer.part("o")), (layer.part("up"), layer.part("down"))):
            if writer and reader and reader.weight.shape[1] % writer.rows == 0:
                yield writer, reader

    def _best_scale(
        self, readers: Sequence[LinearPart], inputs: InputStatistics, tie: HeadTie | None = None
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


@dataclass(frozen=True, slots=True)
class HeadTie:
    """Grouped attention: `repeat` heads of head_size channels read the same value channels."""

    repeat: int
    head_size: int

    def spread(self, scale: Tensor) -> Tensor:
        """(repeat * n,) -> the same, channels that are one in the writer made equal."""
        heads = scale.view(-1, self.repeat, self.head_size)
        return heads.mean(1, keepdim=True).expand_as(heads).reshape(-1)

    def shared(self, scale: Tensor) -> Tensor:
        """(repeat * n,) -> (n,): the writer's channels."""
        return scale.view(-1, self.repeat, self.head_size)[:, 0].reshape(-1)


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
