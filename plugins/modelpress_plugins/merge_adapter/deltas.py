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
    """Rows [start, stop) of a change. delta: float32, (stop - start, columns)."""

    start: int
    stop: int
    delta: Tensor


def blocks(rows: int, columns: int, limit: int = BLOCK, multiple: int = _ROWS) -> Iterator[tuple[int, int]]:
    """Cut rows into [start, stop): all at once when there are few, else large even pieces."""
    step = max(multiple, limit // max(1, columns) // multiple * multiple)
    start = 0
    while rows - start >= 2 * step:
        yield start, start + step
        start += step
    yield start, rows


def changes(low_rank: LowRank, parts: Parts, shape: tuple[int, ...], block: int = BLOCK) -> Iterator[Block]:
    """The change of a weight of this shape (out, in), block by block, without DoRA's magnitude.

    parts: the adapter's tensors by part, float32.
    """
    rows, columns = shape
    if low_rank.method == "lora":
        yield from _lora(low_rank, parts, shape, block)
    elif low_rank.method == "embedding":
        a, b = parts["lora_embedding_A"], parts["lora_embedding_B"]  # (r, rows), (columns, r)
        for start, stop in blocks(rows, columns, block):
            yield Block(start, stop, (b @ a[:, start:stop]).T.mul_(low_rank.scaling))
    elif low_rank.method == "loha":
        w1a, w1b, w2a, w2b = (parts[f"hada_w{p}"] for p in ("1_a", "1_b", "2_a", "2_b"))
        for start, stop in blocks(rows, columns, block // 2):
            delta = (w1a[start:stop] @ w1b).mul_(w2a[start:stop] @ w2b)
            yield Block(start, stop, delta.mul_(low_rank.scaling))
    else:
        yield from _lokr(low_rank, parts, shape, block)


def _lora(low_rank: LowRank, parts: Parts, shape: tuple[int, ...], block: int) -> Iterator[Block]:
    a, b = parts["lora_A"], parts["lora_B"]  # (r, in), (out, r)
    if is_transposed(low_rank, shape, (b.shape[0], a.shape[1])):
        yield Block(0, shape[0], (b @ a).T.mul_(low_rank.scaling))  # not cut: such weights are small
        return
    for start, stop in blocks(*shape, block):
        yield Block(start, stop, torch.mm(b[start:stop], a).mul_(low_rank.scaling))


def is_transposed(low_rank: LowRank, shape: tuple[int, ...], product: tuple[int, int]) -> bool:
    """Whether the weight is stored (in, out). A square one tells nothing: there the adapter's config does."""
    return shape != product or (low_rank.fan_in_fan_out and shape[0] == shape[1])


def _lokr(low_rank: LowRank, parts: Parts, shape: tuple[int, ...], block: int) -> Iterator[Block]:
    w1, w2 = (parts[w] if w in parts else parts[f"{w}_a"] @ parts[f"{w}_b"] for w in ("lokr_w1", "lokr_w2"))
    if (w1.shape[0] * w2.shape[0], w1.shape[1] * w2.shape[1]) != shape:
        yield Block(0, shape[0], torch.kron(w1, w2).mul_(low_rank.scaling).reshape(shape))
        return
    for start, stop in blocks(w1.shape[0], w2.shape[0] * shape[1], block, multiple=1):
        delta = torch.kron(w1[start:stop].contiguous(), w2.contiguous()).mul_(low_rank.scaling)
        yield Block(start * w2.shape[0], stop * w2.shape[0], delta)


def apply(weight: Tensor, delta: Tensor, low_rank: LowRank) -> Tensor:
    """weight + delta in float32 (float64 for such a weight); delta is overwritten. Not rounded yet."""
    if low_rank.method == "embedding":
        return (weight + delta.to(weight.dtype)).to(_wide(weight))
    return delta.add_(weight) if _wide(weight) == delta.dtype else delta + weight


def apply_dora(
    weight: Tensor, delta: Tensor, magnitude: Tensor, low_rank: LowRank, transposed: bool
) -> Tensor:
    """DoRA (https://arxiv.org/abs/2402.09353): m * (W + D) / ||W + D||, the norm over each output's inputs.

    weight, delta: (out, in), or (in, out) when transposed or for an embedding; then all of it at once.
    magnitude: (out,), the part that belongs to these rows. Not rounded yet.
    """
    total = weight + delta
    if transposed or low_rank.method == "embedding":
        norm = torch.linalg.norm(weight.T + delta.T, dim=1)
        return (magnitude / norm).view(1, -1) * total
    norm = torch.linalg.norm(total, dim=1)
    return (magnitude / norm).view(-1, 1) * total


def _wide(weight: Tensor) -> torch.dtype:
    return torch.promote_types(weight.dtype, torch.float32)
