"""The arithmetic of a merge, in the order of operations that peft uses, so that every bit is the same.

The change of a weight is computed in float32, in blocks of rows; `apply` adds it and rounds once. (On an
embedding peft rounds the change first and the sum again; so does this.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .adapter import LowRank

BLOCK = 8 * 2**20
"""Elements of a block of a product: 32 MB in float32.

A product computed in blocks has the bits of the whole only where both reach the same inner kernel of the
BLAS: so blocks are large, a multiple of 1024 rows where the weight is large, and the last one is never small.
"""

_ROWS = 1024
Parts = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Block:
    """Rows [start, stop) of a change. product: float32, (stop - start, columns), not scaled yet.

    It is memory that the next block uses again.
    """

    start: int
    stop: int
    product: Tensor


def blocks(rows: int, columns: int, limit: int = BLOCK, multiple: int = _ROWS) -> Iterator[tuple[int, int]]:
    """Cut rows into [start, stop): all at once when there are few, else large even pieces."""
    step = max(multiple, limit // max(1, columns) // multiple * multiple)
    start = 0
    while rows - start >= 2 * step:
        yield start, start + step
        start += step
    yield start, rows


class Buffers:
    """Memory for products, the same for every block and every weight: fresh memory costs more than the
    arithmetic, since the system has to clear its pages."""

    def __init__(self) -> None:
        self._flat: dict[int, Tensor] = {}

    def get(self, which: int, rows: int, columns: int) -> Tensor:
        """Float32 (rows, columns), of any content; it may be what `get(which, …)` gave before."""
        count = rows * columns
        if which not in self._flat or self._flat[which].numel() < count:
            self._flat[which] = torch.empty(count)
        return self._flat[which][:count].view(rows, columns)


def products(
    low_rank: LowRank, parts: Parts, shape: tuple[int, ...], buffers: Buffers, block: int = BLOCK
) -> Iterator[Block]:
    """The change of a weight of this shape (out, in), block by block: not scaled, without DoRA's magnitude.

    parts: the adapter's tensors by part, float32.
    """
    rows, columns = shape
    if low_rank.method == "lora":
        yield from _lora(low_rank, parts, shape, buffers, block)
    elif low_rank.method == "embedding":
        a, b = parts["lora_embedding_A"], parts["lora_embedding_B"]  # (r, rows), (columns, r)
        for start, stop in blocks(rows, columns, block):
            yield Block(start, stop, (b @ a[:, start:stop]).T)
    elif low_rank.method == "loha":
        yield from _loha(parts, buffers, block)
    else:
        yield from _lokr(parts, shape, block)


def _lora(
    low_rank: LowRank, parts: Parts, shape: tuple[int, ...], buffers: Buffers, block: int
) -> Iterator[Block]:
    a, b = parts["lora_A"], parts["lora_B"]  # (r, in), (out, r)
    if is_transposed(low_rank, shape, (b.shape[0], a.shape[1])):
        yield Block(0, shape[0], (b @ a).T)  # not cut: such weights are small
        return
    for start, stop in blocks(shape[0], shape[1], block):
        out = buffers.get(0, stop - start, shape[1])
        yield Block(start, stop, torch.mm(b[start:stop], a, out=out))


def _loha(parts: Parts, buffers: Buffers, block: int) -> Iterator[Block]:
    w1a, w1b, w2a, w2b = (parts[f"hada_w{p}"] for p in ("1_a", "1_b", "2_a", "2_b"))
    rows, columns = w1a.shape[0], w1b.shape[1]
    for start, stop in blocks(rows, columns, block // 2):
        first, second = (buffers.get(i, stop - start, columns) for i in range(2))
        torch.mm(w1a[start:stop], w1b, out=first)
        torch.mm(w2a[start:stop], w2b, out=second)
        yield Block(start, stop, first.mul_(second))


def is_transposed(low_rank: LowRank, shape: tuple[int, ...], product: tuple[int, int]) -> bool:
    """Whether the weight is stored (in, out). A square one tells nothing: there the adapter's config does."""
    return shape != product or (low_rank.fan_in_fan_out and shape[0] == shape[1])


def _lokr(parts: Parts, shape: tuple[int, ...], block: int) -> Iterator[Block]:
    w1, w2 = (parts[w] if w in parts else parts[f"{w}_a"] @ parts[f"{w}_b"] for w in ("lokr_w1", "lokr_w2"))
    if (w1.shape[0] * w2.shape[0], w1.shape[1] * w2.shape[1]) != shape:
        yield Block(0, shape[0], torch.kron(w1, w2).reshape(shape))
        return
    for start, stop in blocks(w1.shape[0], w2.shape[0] * shape[1], block, multiple=1):
        product = torch.kron(w1[start:stop].contiguous(), w2.contiguous())
        yield Block(start * w2.shape[0], stop * w2.shape[0], product)


def apply(weight: Tensor, product: Tensor, low_rank: LowRank) -> Tensor:
    """weight + scaling * product in float32 (float64 for such a weight); product is overwritten.

    Not rounded to the weight's dtype yet.
    """
    delta = product.mul_(low_rank.scaling)
    if low_rank.method == "embedding":
        return (weight + delta.to(weight.dtype)).to(_wide(weight))
    return delta.add_(weight) if _wide(weight) == delta.dtype else delta + weight


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
