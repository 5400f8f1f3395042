"""Samples held compactly, the order in which an epoch takes them, and the batches that they make."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch.utils.data import Dataset, Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices

from modelpress.api import NO_LOSS, Sample, SampleTable

Pair = tuple[torch.Tensor, torch.Tensor]
"""input_ids and labels of one sample, int32, both (length,)."""


class TrainingSamples(Dataset[Pair]):
    """What a pass trains on, by number; without padding (batches are padded as they are made)."""

    def __init__(self, table: SampleTable) -> None:
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, index: int) -> Pair:
        sample = _without_padding(self._table[index])
        return torch.tensor(sample.input_ids, dtype=torch.int32), torch.tensor(
            sample.labels, dtype=torch.int32
        )

    @property
    def highest_id(self) -> int:
        return self._table.highest_id

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens of each sample."""
        return self._table.lengths


class HeldSamples:
    """A SampleTable whose samples lie end to end in two arrays: 8 bytes a token, whatever their number.

    A sample without a label after its first token teaches nothing and is left out; `skipped` counts those.
    """

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._ids, self._labels, self._ends = array("i"), array("i"), array("q")
        self.skipped = 0
        for sample in map(_without_padding, samples):
            if all(label == NO_LOSS for label in sample.labels[1:]):
                self.skipped += 1
                continue
            self._ids.extend(sample.input_ids)
            self._labels.extend(sample.labels)
            self._ends.append(len(self._ids))

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> Sample:
        span = slice(self._ends[index - 1] if index else 0, self._ends[index])
        return Sample(list(self._ids[span]), list(self._labels[span]))

    def __iter__(self) -> Iterator[Sample]:
        return (self[number] for number in range(len(self)))

    @property
    def highest_id(self) -> int:
        return max(self._ids)

    @property
    def lengths(self) -> list[int]:
        return [end - start for start, end in zip([0, *self._ends[:-1]], self._ends, strict=True)]


class EpochOrder(Sampler[int]):
    """The order of the samples in an epoch, made of seed and epoch alone.

    A resumed run therefore sees the samples that an uninterrupted one would have seen; the Trainer's own
    samplers draw from the global generator, whose state at the start of the epoch is gone by then.
    Set `epoch` before iterating.
    """

    def __init__(self, lengths: Sequence[int], strategy: str, seed: int, group: int) -> None:
        """strategy: random, sequential or group_by_length. group: samples of one optimizer step."""
        self.epoch = 0
        self._lengths = lengths
        self._strategy = strategy
        self._seed = seed
        self._group = group

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self.epoch)
        if self._strategy == "sequential":
            return iter(range(len(self._lengths)))
        if self._strategy == "group_by_length":
            indices: list[int] = get_length_grouped_indices(  # type: ignore[no-untyped-call]
                self._lengths, self._group, generator=generator
            )
            return iter(indices)
        return iter(torch.randperm(len(self._lengths), generator=generator).tolist())


@dataclass
class Batches:
    """Make a batch of samples: padded on the right to the longest, labels with NO_LOSS.

    No attention mask is made: with causal attention nothing on the right changes what is left of it, and
    without one the faster kernels serve. Not for models whose attention looks ahead.

    pad:  id to pad with; any will do
    trim: ask the model for logits only where a label stands. With the loss on a short answer alone this
          saves most of the output layer's work. The model must take `logits_to_keep` and `shift_labels`.
    """

    pad: int
    trim: bool
    tokens: int = 0
    """Tokens put into batches so far, without padding."""

    def __call__(self, pairs: Sequence[Pair]) -> dict[str, torch.Tensor]:
        longest = max(len(ids) for ids, _ in pairs)
        ids = torch.full((len(pairs), longest), self.pad)  # (batch, length)
        labels = torch.full((len(pairs), longest), NO_LOSS)  # (batch, length)
        for row, (sample_ids, sample_labels) in enumerate(pairs):
            ids[row, : len(sample_ids)] = sample_ids
            labels[row, : len(sample_labels)] = sample_labels
            self.tokens += len(sample_ids)
        batch = {"input_ids": ids, "labels": labels}
        return {**batch, **_where_labels_stand(labels)} if self.trim else batch


def _where_labels_stand(labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """labels: (batch, length). Returns the positions (kept,) at which some row predicts a labelled token,
    and the labels shifted to them (batch, kept)."""
    shifted = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=NO_LOSS)
    kept = (shifted != NO_LOSS).any(0).nonzero().squeeze(1)
    return {"logits_to_keep": kept, "shift_labels": shifted[:, kept]}


def _without_padding(sample: Sample) -> Sample:
    mask = sample.attention_mask
    if mask is None or all(mask):
        return sample
    kept = [i for i, attended in enumerate(mask) if attended]
    return Sample([sample.input_ids[i] for i in kept], [sample.labels[i] for i in kept])
