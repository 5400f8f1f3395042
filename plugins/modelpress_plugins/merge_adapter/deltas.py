"""The arithmetic of a merge, in the order of operations that peft uses, so that every bit is the same.

The change of a weight is computed in float32, a strip of rows at a time; `apply` adds it and rounds once. (On
an embedding and on experts peft rounds the change first and the sum again; so does this.)
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from modelpress_plugins.hf.adapter import LowRank

STRIP = 2**19
"""Elements of a strip: with all that is computed from it, it stays in the processor's cache."""

_UNIT = 64
"""Rows that a product is cut at multiples of. Some rows of a matrix product have the bits that they have in
the whole product only where both reach the same kind of inner loop of the BLAS: matrices of very few rows
have others. So a strip, also the last one, has 64 at least."""

_COLUMNS = 1024
"""The same for products that are cut along the other side."""

_ROUNDED_FIRST = ("embedding", "experts")

Parts = Mapping[str, Tensor]


class Buffers(threading.local):
    """Memory that each thread uses again for every strip: fresh memory costs more than the arithmetic, since
    the system has to clear its pages."""

    def __init__(self) -> None:
        self._flat: dict[str, Tensor] = {}

    def get(self, name: str, *shape: int) -> Tensor:
        """Float32, of any content; it may be what this thread got for the name before."""
        count = math.prod(shape)
        if name not in self._flat or self._flat[name].numel() < count:
            self._flat[name] = torch.empty(count)
        return self._flat[name][:count].view(shape)

    def bytes(self, count: int) -> memoryview:
        """The same, as that many bytes."""
        return self.get("bytes", -(-count // 4)).numpy().data.cast("B")[:count]


@dataclass(frozen=True, slots=True)
class Change:
    """The change of a weight: not scaled, without DoRA's magnitude.

    rows: (start, stop) -> float32 (stop - start, columns), in memory that the thread's next call may reuse
    unit: rows it may be cut at multiples of; 0 when it may not be cut
    """

    shape: tuple[int, ...]
    rows: Callable[[int, int], Tensor]
    unit: int

    def row_ranges(self, elements: int = STRIP) -> Iterator[tuple[int, int]]:
        """[start, stop) of rows, of about that many elements; the last one is never a small rest."""
        rows, columns = self.shape
        unit = self.unit or rows
        step = max(unit, elements // max(1, columns) // unit * unit)
        start = 0
        while rows - start >= 2 * step:
            yield start, start + step
            start += step
        yield start, rows


def change_of(low_rank: LowRank, parts: Parts, shape: tuple[int, ...], buffers: Buffers) -> Change:
    """The change of a weight of this shape, (out, in) or as it is stored. parts: the adapter's, float32."""
    if low_rank.method == "lora":
        return _lora(low_rank, parts, shape, buffers)
    if low_rank.method == "embedding":
        a, b = parts["lora_embedding_A"], parts["lora_embedding_B"]  # (r, rows), (columns, r)
        return Change(shape, lambda start, stop: (b @ a[:, start:stop]).T, _COLUMNS)
    if low_rank.method == "experts":
        return _experts(low_rank, parts, shape)
    if low_rank.method == "loha":
        return _loha(parts, shape, buffers)
    return _lokr(parts, shape)


def _lora(low_rank: LowRank, parts: Parts, shape: tuple[int, ...], buffers: Buffers) -> Change:
    a, b = parts["lora_A"], parts["lora_B"]  # (r, in), (out, r)
    if expert := low_rank.expert:
        a, b = _of_experts(low_rank, a, b)
        a, b = a[expert.number], b[expert.number, expert.start : expert.stop].contiguous()
    if low_rank.in_by_out:
        return Change(shape, lambda start, stop: (b @ a).T[start:stop], 0)  # not cut: such weights are small

    def rows(start: int, stop: int) -> Tensor:
        return torch.mm(b[start:stop], a, out=buffers.get("product", stop - start, shape[1]))

    return Change(shape, rows, _UNIT)


def _experts(low_rank: LowRank, parts: Parts, shape: tuple[int, ...]) -> Change:
    """Of (experts, out, in), or (experts, in, out); cut between experts."""
    a, b = _of_experts(low_rank, parts["lora_A"], parts["lora_B"])

    def rows(start: int, stop: int) -> Tensor:
        product = torch.bmm(b[start:stop], a[start:stop])
        return product.transpose(1, 2).contiguous() if low_rank.in_by_out else product

    return Change((shape[0], math.prod(shape[1:])), rows, 1)


def _of_experts(low_rank: LowRank, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """(experts * r, in), (out, r * experts) -> (experts, r, in), (experts, out, r): so peft keeps them."""
    count = low_rank.experts
    return a.view(count, -1, a.shape[1]), b.view(b.shape[0], -1, count).permute(2, 0, 1)


def _loha(parts: Parts, shape: tuple[int, ...], buffers: Buffers) -> Change:
    w1a, w1b, w2a, w2b = (parts[f"hada_w{p}"] for p in ("1_a", "1_b", "2_a", "2_b"))

    def rows(start: int, stop: int) -> Tensor:
        first, second = (buffers.get(name, stop - start, shape[1]) for name in ("product", "second"))
        torch.mm(w1a[start:stop], w1b, out=first)
        torch.mm(w2a[start:stop], w2b, out=second)
        return first.mul_(second)

    return Change(shape, rows, _UNIT)


def _lokr(parts: Parts, shape: tuple[int, ...]) -> Change:
    w1, w2 = (parts[w] if w in parts else parts[f"{w}_a"] @ parts[f"{w}_b"] for w in ("lokr_w1", "lokr_w2"))
    unit = w2.shape[0]
    if (w1.shape[0] * unit, w1.shape[1] * w2.shape[1]) != shape:
        return Change(shape, lambda start, stop: torch.kron(w1, w2).reshape(shape)[start:stop], 0)

    def rows(start: int, stop: int) -> Tensor:
        return torch.kron(w1[start // unit : stop // unit].contiguous(), w2.contiguous())

    return Change(shape, rows, unit)


def apply(weight: Tensor, product: Tensor, low_rank: LowRank, buffers: Buffers) -> Tensor:
    """weight + scaling * product in float32 (float64 for such a weight); product is overwritten.

    Not rounded to the weight's dtype yet.
    """
    if low_rank.method in _ROUNDED_FIRST or low_rank.expert is not None:
        return (weight + product.mul_(low_rank.scaling).to(weight.dtype)).to(_wide(weight))
    if weight.dtype == torch.float64:
        return product.mul_(low_rank.scaling) + weight
    total = buffers.get("sum", *weight.shape).copy_(weight)
    if _rounds_nothing(low_rank.scaling):  # then one operation has the bits of two
        return total.add_(product, alpha=low_rank.scaling)
    return total.add_(product.mul_(low_rank.scaling))


def _rounds_nothing(scaling: float) -> bool:
    """Whether multiplying by it is exact: a power of two that makes nothing smaller."""
    return scaling >= 1 and math.frexp(scaling)[0] == 0.5


def apply_dora(weight: Tensor, product: Tensor, magnitude: Tensor, low_rank: LowRank, along: bool) -> Tensor:
    """DoRA (https://arxiv.org/abs/2402.09353): m * (W + D) / ||W + D||, the norm over the inputs.

    weight, product: (out, in), some rows of it; or all of (in, out) when the norm runs along the first
    dimension. magnitude: (out,), the part that belongs to these rows. Not rounded yet.
    """
    delta = product.mul_(low_rank.scaling)
    total = weight + delta
    norm: Tensor = torch.linalg.norm(weight.T + delta.T if along else total, dim=1)
    return (magnitude / norm).view((1, -1) if along else (-1, 1)) * total


def _wide(weight: Tensor) -> torch.dtype:
    return torch.promote_types(weight.dtype, torch.float32)
