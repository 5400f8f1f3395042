"""The hidden states between two layers: in memory up to a limit, past it in a file that is mapped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from modelpress.api import Sample, UserError

BATCH_TOKENS = 512
"""Tokens that go through a layer at once."""


class Activations:
    """One hidden state per token, float32, as batches (rows, length, width) that are changed in place."""

    def __init__(
        self,
        shapes: Sequence[tuple[int, int]],
        width: int,
        limit: int,
        scratch: Path,
        name: str = "activations",
    ) -> None:
        """limit: bytes that may be held in memory. scratch, name: where the file goes."""
        tokens = sum(rows * length for rows, length in shapes)
        self.spilled = tokens * width * 4 > limit
        if self.spilled:
            file = scratch / f"{name}.bin"
            flat = torch.from_file(str(file), shared=True, size=tokens * width, dtype=torch.float32)
        else:
            flat = torch.empty(tokens * width)
        self._batches: list[Tensor] = []
        at = 0
        for rows, length in shapes:
            size = rows * length * width
            self._batches.append(flat[at : at + size].view(rows, length, width))
            at += size

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self._batches)

    def __getitem__(self, at: int) -> Tensor:
        return self._batches[at]

    def __len__(self) -> int:
        return len(self._batches)


def batches_of(samples: Iterable[Sample], max_tokens: int, context: int) -> list[Tensor]:
    """Batches of ids (rows, length) from samples: equal lengths go together, so that nothing is padded.

    Stops after max_tokens; longer samples are cut to the model's context. Raises UserError without any.
    """
    by_length: dict[int, list[list[int]]] = {}
    tokens = 0
    for sample in samples:
        ids = sample.input_ids[: min(context, max_tokens - tokens)]
        if sample.attention_mask is not None:
            ids = [i for i, seen in zip(ids, sample.attention_mask, strict=False) if seen]
        if len(ids) < 2:
            continue
        by_length.setdefault(len(ids), []).append(ids)
        tokens += len(ids)
        if tokens >= max_tokens - 1:
            break
    if not by_length:
        raise UserError("The calibration data has no sample of two tokens or more.")
    batches = []
    for length, rows in sorted(by_length.items()):
        step = max(1, BATCH_TOKENS // length)
        batches += [torch.tensor(rows[at : at + step]) for at in range(0, len(rows), step)]
    return batches
