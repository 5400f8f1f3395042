"""The loop over tensors of one merge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from modelpress.api import Checkpoint, CheckpointWriter, PassContext
from modelpress_plugins.hf.adapter import LowRank
from modelpress_plugins.hf.adapter_targets import Edit, Targets, is_linear
from modelpress_plugins.tensors.bytes import (
    as_bytes,
    check_finite,
    from_bytes,
    is_finite,
    read_tensor,
    torch_dtype,
)
from modelpress_plugins.tensors.ordered_threads import StripThreads

from .deltas import Buffers, Parts, apply, apply_dora, change_of


class TrainedBase(Protocol):
    """How training saw the weights, where it did not see them as they are."""

    def weight_in_training(self, original: Tensor) -> Tensor: ...


class Merge:
    """One merge: what it reads from, and what it counted.

    merged:  weights of modules, by the adapter's names, to which a product was added
    changed: tensors that differ from the base's
    gap:     |in training - original| over |change|, summed over the changed weights; 0 without `trained_base`
    """

    def __init__(
        self, base: Checkpoint, deltas: Checkpoint, targets: Targets, trained_base: TrainedBase | None
    ) -> None:
        self._base = base
        self._deltas = deltas
        self._targets = targets
        self._trained_base = trained_base
        self._buffers = Buffers()
        self._gap = 0.0
        self._change = 0.0
        self._merged: set[str] = set()
        self.changed = 0
        self._parts: dict[str, Parts] = {}

    @property
    def gap(self) -> float:
        return float((self._gap / self._change) ** 0.5) if self._change else 0.0

    @property
    def merged(self) -> int:
        return len(self._merged) + self._targets.shared

    def run(self, out: Path, max_shard_size: int | str, ctx: PassContext) -> None:
        """Write all weights to the folder."""
        own = [name for name in self._base.names() if name != self._targets.dropped]
        names = [*own, *(name for name in self._targets.edits if name not in self._base)]
        edits = {name: self._edit_of(name) for name in names}
        sources = {name: self._base.info(edit.source if edit else name) for name, edit in edits.items()}
        shapes = {
            name: edit.shape(self._base, self._deltas) if edit else sources[name].shape
            for name, edit in edits.items()
        }
        layout = [(name, sources[name].dtype, shapes[name]) for name in names]
        total = sum(info.nbytes for info in sources.values())
        done = 0
        with StripThreads() as threads, CheckpointWriter(out, layout, max_shard_size) as writer:
            for name, edit in edits.items():
                if edit is None:
                    writer.copy(self._base, name)
                else:
                    self._write(edit, writer, threads)
                done += sources[name].nbytes
                ctx.progress(done, total, "bytes")

    def _edit_of(self, name: str) -> Edit | None:
        edit = self._targets.edits.get(name)
        if edit is None and self._trained_base and is_linear(name, self._base.info(name)):
            return Edit(name, name)
        return edit

    def _write(self, edit: Edit, writer: CheckpointWriter, threads: StripThreads) -> None:
        start = _Start(self._base, self._deltas, edit, self._trained_base)
        if edit.low_rank is not None:
            changed = False
            for merged in self._sums(edit, edit.low_rank, start, threads):
                writer.write(edit.name, merged.data)
                changed = changed or merged.changed
                self._gap += merged.gap
                self._change += merged.change
            self.changed += changed
            self._merged.add(edit.low_rank.name)
            return
        rows = start.rows(0, start.shape[0])
        result = self._finish(edit, rows.to(torch.promote_types(rows.dtype, torch.float32)), 0)
        check_finite(result, edit.name, start.dtype)
        rounded = result.to(start.dtype)
        if edit.name in self._targets.edits:
            before = read_tensor(self._base, edit.source)
            self.changed += rounded.shape != before.shape or not torch.equal(rounded, before)
        writer.write(edit.name, as_bytes(rounded))

    def _sums(
        self, edit: Edit, low_rank: LowRank, start: _Start, threads: StripThreads
    ) -> Iterator[_MergedRows]:
        """base + change, strip by strip."""
        parts = self._read_parts(low_rank)
        magnitude = parts["lora_magnitude_vector"].flatten() if "lora_magnitude_vector" in parts else None
        # DoRA's norm runs along the first dimension of such a weight, so that it needs all rows.
        along = magnitude is not None and (low_rank.method == "embedding" or low_rank.in_by_out)
        change = change_of(low_rank, parts, start.shape, self._buffers)

        def add(row_range: tuple[int, int]) -> _MergedRows:
            first, last = row_range
            weight, product = start.rows(first, last, self._buffers), change.rows(first, last)
            distances = (
                self._distances(start, first, weight, product, low_rank) if self._trained_base else (0.0, 0.0)
            )
            if magnitude is None:
                result = apply(weight, product, low_rank, self._buffers)
            else:
                own = magnitude if along else magnitude[first:last]
                result = apply_dora(weight, product, own, low_rank, along)
            result = self._finish(edit, result, first)
            rounded = result.to(start.dtype, copy=True)  # the sum is memory that the next strip uses
            if not is_finite(rounded):
                check_finite(result, edit.name, start.dtype)
            return _MergedRows(
                as_bytes(rounded), not torch.equal(rounded, weight.to(start.dtype)), *distances
            )

        row_ranges = [(0, start.shape[0])] if along else change.row_ranges()
        return threads.map(add, row_ranges)

    def _read_parts(self, low_rank: LowRank) -> Parts:
        """Float32. Those of one layer's experts are kept: every expert takes its share of them."""
        if low_rank.name in self._parts:
            return self._parts[low_rank.name]
        parts = {part: read_tensor(self._deltas, key).float() for part, key in low_rank.parts.items()}
        for part, tensor in parts.items():
            check_finite(tensor, low_rank.parts[part])
        self._parts = {n: p for n, p in self._parts.items() if n.startswith(f"{low_rank.module}.")}
        if low_rank.expert is not None:
            self._parts[low_rank.name] = parts
        return parts

    def _distances(
        self, start: _Start, first: int, in_training: Tensor, product: Tensor, low_rank: LowRank
    ) -> tuple[float, float]:
        """Squares of |in training - original| and of |change|."""
        original = start.original(first, first + len(in_training))
        gap = float((in_training.float() - original.float()).square().sum())
        return gap, float((product * low_rank.scaling).square().sum())

    def _finish(self, edit: Edit, rows: Tensor, first: int) -> Tensor:
        """What comes after the product: a bias's change, trained tokens. rows: those from `first` on."""
        if edit.bias is not None:
            key, scaling = edit.bias
            rows = rows + read_tensor(self._deltas, key).float() * scaling
        if edit.tokens is not None:
            trained = read_tensor(self._deltas, edit.tokens.tensor)
            for i, row in enumerate(edit.tokens.rows):
                if first <= row < first + len(rows):
                    rows[row - first] = trained[i].to(rows.dtype)
        return rows


@dataclass(frozen=True, slots=True)
class _MergedRows:
    """Merged rows as bytes; whether any differs from the base; see Merge.gap for the others."""

    data: memoryview
    changed: bool
    gap: float
    change: float


class _Start:
    """The weight that a change is added to: the base's, what training saw of it, or one that the adapter
    brings whole."""

    def __init__(
        self, base: Checkpoint, deltas: Checkpoint, edit: Edit, trained_base: TrainedBase | None
    ) -> None:
        info = base.info(edit.source)
        self.shape = edit.shape(base, deltas)
        self.dtype = torch_dtype(info.dtype, edit.name)
        self._base = base
        self._source = edit.source
        self._row = info.nbytes // max(1, info.shape[0])
        self._whole: Tensor | None = None
        if edit.replaced:
            self._whole = read_tensor(deltas, edit.replaced).to(self.dtype)
        elif trained_base and edit.name == edit.source and is_linear(edit.name, info):
            self._whole = trained_base.weight_in_training(read_tensor(base, edit.source))

    def rows(self, start: int, stop: int, buffers: Buffers | None = None) -> Tensor:
        """Rows of it, in the base's dtype or, as training saw them, in float32. buffers: to read into."""
        return self.original(start, stop, buffers) if self._whole is None else self._whole[start:stop]

    def original(self, start: int, stop: int, buffers: Buffers | None = None) -> Tensor:
        """Rows of the base's own weight."""
        count = (stop - start) * self._row
        data = buffers.bytes(count) if buffers else memoryview(bytearray(count))
        self._base.read_into(self._source, data, start * self._row)
        return from_bytes(data, self.dtype, (stop - start, *self.shape[1:]))
