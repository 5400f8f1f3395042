"""Scale the inputs of projections down by scaling what makes them: a change that must not change the layer.

Whether it does not is measured on real inputs before any scale is chosen: with factors that are powers of
two, which cost no rounding, the layer has to give what it gave.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modelpress_plugins.quantize.layer import LayerView, LinearPart


@dataclass(frozen=True, slots=True)
class HeadTie:
    """Grouped attention: `repeat` heads of head_size channels read the same value channels."""

    repeat: int
    head_size: int

    def spread(self, scale: Tensor) -> Tensor:
        """(repeat * n,) -> the same, channels that are one in the writer made equal."""
        heads = scale.view(-1, self.repeat, self.head_size)
        return heads.mean(1, keepdim=True).expand_as(heads).reshape(-1)

    def alike(self, scale: Tensor) -> Tensor:
        """(repeat * n,) -> the same; the first head's of those that are one in the writer. No rounding."""
        heads = scale.view(-1, self.repeat, self.head_size)
        return heads[:, :1].expand_as(heads).reshape(-1)

    def shared(self, scale: Tensor) -> Tensor:
        """(repeat * n,) -> (n,): the writer's channels."""
        return scale.view(-1, self.repeat, self.head_size)[:, 0].reshape(-1)


@dataclass(frozen=True, slots=True)
class NormFold:
    """readers: the projections whose inputs are scaled. offset: what the norm adds to its weight."""

    readers: Sequence[LinearPart]
    name: str
    norm: nn.Module
    offset: float
    tie: HeadTie | None = None

    @property
    def title(self) -> str:
        """For what is told."""
        return self.name

    def apply(self, scale: Tensor) -> None:
        """Multiply the readers' weights by scale (in,), and divide what makes their inputs."""
        weight: Tensor = self.norm.weight  # type: ignore[assignment]
        weight.copy_((weight + self.offset) / scale - self.offset)
        if isinstance(bias := getattr(self.norm, "bias", None), Tensor):
            bias.div_(scale)
        for reader in self.readers:
            reader.weight.mul_(scale)

    def changed(self, layer: LayerView) -> dict[str, Tensor]:
        """The float tensors that apply() changes, by their names in the checkpoint."""
        return layer.floats(self.name)

    def preserves(self, layer: LayerView) -> bool:
        """Whether apply() leaves what the layer computes; measured, then undone."""
        factors = _powers_of_two(self.readers[0].weight)
        with _kept(self.norm):
            self.apply(factors)
            same = layer.computes_the_same()
        for reader in self.readers:
            reader.weight.div_(factors)
        return same


@dataclass(frozen=True, slots=True)
class PairFold:
    """The reader's inputs are the writer's outputs, times something that does not depend on them. With
    grouped attention each output is read several times over."""

    readers: Sequence[LinearPart]
    writer: LinearPart
    tie: HeadTie

    @property
    def title(self) -> str:
        return f"{self.writer.linear_name} -> {self.readers[0].linear_name}"

    def apply(self, scale: Tensor) -> None:
        shared = self.tie.shared(scale)
        self.writer.weight.div_(shared.unsqueeze(1))
        if self.writer.bias is not None:
            self.writer.bias.div_(shared)
        self.readers[0].weight.mul_(scale)

    def changed(self, layer: LayerView) -> dict[str, Tensor]:
        return {} if self.writer.bias is None else layer.floats(self.writer.linear_name, "bias")

    def preserves(self, layer: LayerView) -> bool:
        factors = self.tie.alike(_powers_of_two(self.readers[0].weight))
        self.apply(factors)
        same = layer.computes_the_same()
        self.apply(1 / factors)
        return same


Fold = NormFold | PairFold


def norm_offset(norm: nn.Module) -> float:
    """What a norm adds to its weight before it multiplies: 0, or 1 in Gemma and Nemotron. Measured."""
    weight: Tensor = norm.weight  # type: ignore[assignment]
    inputs = torch.randn(4, len(weight), generator=torch.Generator().manual_seed(0)).to(weight.device)
    with _kept(norm), torch.no_grad():
        if isinstance(bias := getattr(norm, "bias", None), Tensor):
            bias.zero_()
        weight.zero_()
        at_zero = norm(inputs)
        weight.fill_(1)
        by_weight = norm(inputs) - at_zero
    return round(float((at_zero * by_weight).sum() / by_weight.square().sum()), 3)


@contextmanager
def _kept(module: nn.Module) -> Iterator[None]:
    """Puts a small module's parameters back."""
    before = {name: value.detach().clone() for name, value in module.named_parameters(recurse=False)}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in before.items():
                module.get_parameter(name).copy_(value)


def _powers_of_two(weight: Tensor) -> Tensor:
    """(in,): 1/2, 1 or 2 for each input of a weight (out, in), none like its neighbour."""
    at = torch.arange(weight.shape[1], device=weight.device)
    return torch.exp2((at % 3 - 1).float())
