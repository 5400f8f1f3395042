"""MergeAdapterWeights: read a tensor, add its change, write it; copy by bytes what the adapter leaves alone.

No model is built and nothing larger than a block of a tensor is held (see `deltas.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from modelpress.api import Artifact, Checkpoint, CheckpointWriter, PassContext, PassError, UserError
from modelpress_plugins.tensors import as_bytes, check_finite, from_bytes, read_tensor, torch_dtype

from .adapter import STEM, LowRank, read_adapter
from .config import MergeAdapterOptions
from .deltas import Block, Parts, apply, apply_dora, is_transposed, products
from .files import read_model_config, ties_embeddings, write_companions
from .targets import Edit, Targets, match
from .transformers_names import renamed_on_loading

_STRIP = 2**19
"""Elements that are read, summed, rounded and written at a time: they stay in the processor's cache."""


def merge_adapter(model: Artifact, config: MergeAdapterOptions, ctx: PassContext) -> Artifact:
    """Add an adapter to its base. Raises UserError when they do not match or it cannot be exact."""
    base = model.base
    if base is None:
        raise UserError(f"The adapter in {model.path} does not say which base model it belongs to.")
    base_config = read_model_config(base.path)
    with Checkpoint(base.path) as weights, Checkpoint(model.path, STEM) as deltas:
        adapter = read_adapter(model.path, deltas)
        targets = match(
            adapter,
            weights,
            deltas,
            ties_embeddings(base_config),
            lambda: renamed_on_loading(base.path, weights.names(), bool(base.meta.get("trust_remote_code"))),
        )
        merge = _Merge(weights, deltas, targets)
        merge.run(config.max_shard_size, ctx)
    write_companions(base.path, model.path, ctx.out, untied=targets.untied)
    if targets.untied:
        ctx.note("The head and the embedding shared a weight that the adapter changes in one of them only; "
                 "the merged model has two.")  # fmt: skip
    _report(merge, adapter.modules, ctx)
    return ctx.artifact("hf-model", meta=dict(base.meta))


def _report(merge: _Merge, modules: int, ctx: PassContext) -> None:
    ctx.report("adapter_modules", modules)
    ctx.report("merged_modules", merge.merged)
    ctx.report("changed_tensors", merge.changed)
    if merge.merged != modules:
        raise PassError(f"Only {merge.merged} of the adapter's {modules} modules were merged.")
    if not merge.changed:
        raise PassError(
            "The merged weights equal the base's: the adapter changes nothing.",
            "Its product is zero, or smaller than one rounding step of the base's dtype. Train it further.",
        )


class _Merge:
    """One merge: what it reads from, and what it counts."""

    def __init__(self, base: Checkpoint, deltas: Checkpoint, targets: Targets) -> None:
        self._base = base
        self._deltas = deltas
        self._targets = targets
        self.merged = 0
        self.changed = 0

    def run(self, max_shard_size: int | str, ctx: PassContext) -> None:
        """Write all weights to ctx.out."""
        names = list(self._base.names()) + [n for n in self._targets.edits if n not in self._base]
        edits = {name: self._targets.edits.get(name) for name in names}
        source = {name: self._base.info(edit.source if edit else name) for name, edit in edits.items()}
        layout = [(name, source[name].dtype, source[name].shape) for name in names]
        total = sum(info.nbytes for info in source.values())
        done = 0
        with CheckpointWriter(ctx.out, layout, max_shard_size) as writer:
            for name, edit in edits.items():
                if edit is None:
                    writer.copy(self._base, name)
                else:
                    self._edit(edit, writer)
                done += source[name].nbytes
                ctx.progress(done, total, "bytes")

    def _edit(self, edit: Edit, writer: CheckpointWriter) -> None:
        start = _Start(self._base, self._deltas, edit)
        if edit.low_rank is not None:
            changed = self._add(edit, edit.low_rank, start, writer)
            self.merged += 1
        else:
            whole = start.rows(0, start.shape[0])
            result = self._finish(edit, whole.to(torch.promote_types(whole.dtype, torch.float32)), 0)
            check_finite(result, edit.name, start.dtype)
            rounded = result.to(start.dtype)
            changed = not torch.equal(rounded, read_tensor(self._base, edit.source))
            writer.write(edit.name, as_bytes(rounded))
        self.changed += changed

    def _add(self, edit: Edit, low_rank: LowRank, start: _Start, writer: CheckpointWriter) -> bool:
        parts = {part: read_tensor(self._deltas, key).float() for part, key in low_rank.parts.items()}
        for part, tensor in parts.items():
            check_finite(tensor, low_rank.parts[part])
        magnitude = parts.get("lora_magnitude_vector")
        along = magnitude is not None and _norm_runs_along_rows(low_rank, parts, start)
        changed = False
        for block in products(low_rank, parts, start.shape):
            for strip in _strips(block, whole=along):
                weight = start.rows(strip.start, strip.stop)
                if magnitude is None:
                    result = apply(weight, strip.product, low_rank)
                else:
                    part = magnitude.flatten() if along else magnitude[strip.start : strip.stop]
                    result = apply_dora(weight, strip.product, part, low_rank, along)
                result = self._finish(edit, result, strip.start)
                check_finite(result, edit.name, start.dtype)
                rounded = result.to(start.dtype)
                changed = changed or not torch.equal(rounded, weight)
                writer.write(edit.name, as_bytes(rounded))
        return changed

    def _finish(self, edit: Edit, rows: Tensor, first: int) -> Tensor:
        """What comes after the product: trained tokens, a bias. rows: those from `first` on."""
        if edit.bias is not None:
            key, scaling = edit.bias
            rows = rows + read_tensor(self._deltas, key).float() * scaling
        if edit.tokens is not None:
            trained = read_tensor(self._deltas, edit.tokens.tensor)
            for i, row in enumerate(edit.tokens.rows):
                if first <= row < first + len(rows):
                    rows[row - first] = trained[i].to(rows.dtype)
        return rows


class _Start:
    """The weight that a change is added to: the base's, or one that the adapter brings whole."""

    def __init__(self, base: Checkpoint, deltas: Checkpoint, edit: Edit) -> None:
        info = base.info(edit.source)
        self.shape = info.shape
        self.dtype = torch_dtype(info.dtype, edit.name)
        self._base = base
        self._source = edit.source
        self._row = info.nbytes // max(1, info.shape[0])
        self._whole = read_tensor(deltas, edit.replaced).to(self.dtype) if edit.replaced else None

    def rows(self, start: int, stop: int) -> Tensor:
        if self._whole is not None:
            return self._whole[start:stop]
        data = self._base.read(self._source, start * self._row, stop * self._row)
        return from_bytes(data, self.dtype, (stop - start, *self.shape[1:]))


def _norm_runs_along_rows(low_rank: LowRank, parts: Parts, start: _Start) -> bool:
    """Whether DoRA's norm runs along the first dimension of the stored weight, so that it needs all rows."""
    if low_rank.method == "embedding":
        return True
    return is_transposed(low_rank, start.shape, (parts["lora_B"].shape[0], parts["lora_A"].shape[1]))


def _strips(block: Block, whole: bool) -> Iterator[Block]:
    rows = block.stop - block.start
    step = max(1, rows if whole else _STRIP // max(1, block.product.shape[1]))
    for first in range(0, rows, step):
        last = min(first + step, rows)
        yield Block(block.start + first, block.start + last, block.product[first:last])
