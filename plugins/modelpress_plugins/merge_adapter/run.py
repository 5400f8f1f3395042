"""MergeAdapterWeights: read a tensor, add its change, write it; copy by bytes what the adapter leaves alone.

No model is built, but for the check at the end; nothing larger than a block of a tensor is held.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modelpress.api import (
    Artifact,
    Checkpoint,
    Meta,
    MissingDependencyError,
    PassContext,
    PassError,
    UserError,
    move,
)
from modelpress_plugins.hf.adapter import STEM, read_adapter
from modelpress_plugins.hf.adapter_targets import Loaded, Targets, match
from modelpress_plugins.hf.config import CONFIG, ModelConfig, changed_document, read_config, write_json
from modelpress_plugins.hf.files import (
    copy_companions,
    copy_tokenizer,
    has_tokenizer,
    meta_beside_tokenizer,
    with_tokenizer,
)
from modelpress_plugins.hf.tied import contradicts
from modelpress_plugins.hf.tokenizer_size import check_rows

from . import verify
from .config import MergeAdapterOptions
from .merge import Merge, TrainedBase

_SMALL = 10**9
"""Bytes of weights up to which a model is opened to compare logits, unless told otherwise."""


def merge_adapter(model: Artifact, config: MergeAdapterOptions, ctx: PassContext) -> Artifact:
    """Add an adapter to its base. Raises UserError when they do not match or it cannot be exact."""
    if model.base is None:
        raise UserError(f"The adapter in {model.path} does not say which base model it belongs to.")
    job = _Job(model, model.base, _float_config(model.base.path), config, ctx)
    if "quantization" in model.meta.extra and config.merge_base != "original":
        return _merge_four_bit(job)
    merged = job.merge(ctx.out, None)
    job.compare(merged, replace(model, meta=_without_bits(model.meta)), "base + adapter")
    return merged.artifact


def _merge_four_bit(job: _Job) -> Artifact:
    """Merge an adapter that was trained on a 4-bit base into the base that is nearer to what training saw."""
    trained_base = _four_bits(job.model.meta)
    if job.config.merge_base == "auto" and job.compares():
        return _choose_by_logits(job, trained_base)
    merged = job.merge(job.ctx.out, trained_base)
    job.ctx.report("merge_base", "dequantized")
    if job.config.merge_base == "dequantized":
        job.compare(merged, verify.exact_reference(job.model), "4-bit base + adapter")
        return merged.artifact
    job.ctx.note(
        "Merged into the base as training saw it, quantized to 4 bits and back; weight by weight that is the "
        f"nearer one. The original base lies {merged.gap:.2g} times the adapter's own change away from it."
    )
    return merged.artifact


def _choose_by_logits(job: _Job, trained_base: TrainedBase) -> Artifact:
    ctx = job.ctx
    wanted = verify.logits(verify.exact_reference(job.model), job.base_config, ctx)
    choices: dict[str, TrainedBase | None] = {"original": None, "dequantized": trained_base}
    measured, dtype = {}, ""
    for name, base in choices.items():
        folder = ctx.scratch / name
        folder.mkdir(parents=True)
        merged = job.merge(folder, base)
        dtype = merged.dtype
        found = verify.logits(replace(merged.artifact, path=folder), job.base_config, ctx)
        measured[name] = verify.difference(found, wanted)
    best, other = sorted(measured, key=lambda name: measured[name])
    if best == "dequantized":
        verify.check(measured[best], verify.coarser(dtype, job.trained_in))
    for path in sorted((ctx.scratch / best).iterdir()):
        move(path, ctx.out / path.name)
    shutil.rmtree(ctx.scratch / other)
    ctx.report("merge_base", best)
    ctx.report("logits_difference", measured[best])
    ctx.note(
        f"Merged into the {best} base: its logits differ from those of 4-bit base + adapter by "
        f"{measured[best]:.2%}, with the {other} base by {measured[other]:.2%}."
    )
    return ctx.artifact("hf-model", meta=job.merged_meta)


def _four_bits(meta: Meta) -> TrainedBase:
    try:
        # Here, not at the top: only adapters that were trained on a 4-bit base need bitsandbytes.
        from .nf4 import FourBits  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"The adapter was trained on a 4-bit base; to merge it, {error.name} is needed.",
            'Install modelpress[qlora], or set merge_base to "original".',
        ) from error
    return FourBits.from_meta(meta)


def _without_bits(meta: Meta) -> Meta:
    return replace(meta, extra={k: v for k, v in meta.extra.items() if k != "quantization"})


def _float_config(base: Path) -> ModelConfig:
    """config.json of the base. Raises UserError when the base is quantized."""
    config = read_config(base)
    if method := config.quant_method:
        raise UserError(
            f"The base model is quantized ({method}); an adapter can only be merged into floats.",
            "Give the model that it was quantized from as the base.",
        )
    return config


def _write_beside(job: _Job, out: Path, targets: Targets) -> None:
    """What travels with the base's weights, the tokenizer of the adapter if it has one, and config.json: the
    base's, byte for byte, but for a head that is no longer tied and a vocabulary of another size."""
    copy_companions(job.base, out)
    if has_tokenizer(job.model.path):
        copy_tokenizer(job.model, out)
    if targets.untied or targets.vocabulary:
        document = changed_document(job.base_config, untied=targets.untied, vocabulary=targets.vocabulary)
        write_json(out / CONFIG, document)
    else:
        shutil.copyfile(job.base.path / CONFIG, out / CONFIG)


@dataclass(frozen=True, slots=True)
class _Merged:
    """dtype: of the largest weight, by its safetensors name. gap: see Merge."""

    artifact: Artifact
    dtype: str
    gap: float


@dataclass(frozen=True, slots=True)
class _Job:
    """One call of the pass."""

    model: Artifact
    base: Artifact
    base_config: ModelConfig
    config: MergeAdapterOptions
    ctx: PassContext

    def merge(self, out: Path, trained_base: TrainedBase | None) -> _Merged:
        """Write the merged model. trained_base: as training saw it; None to merge into the base as it is."""
        trust = self.base.meta.trust_remote_code
        with Checkpoint(self.base.path) as weights, Checkpoint(self.model.path, STEM) as deltas:
            adapter = read_adapter(self.model.path, deltas)
            targets = match(
                adapter,
                weights,
                deltas,
                self.base_config,
                load=lambda: _loaded(self.base.path, weights.names(), trust),
            )
            if has_tokenizer(self.model.path):
                rows = targets.vocabulary or self.base_config.vocabulary
                check_rows(self.model.path, self.base.path, rows)
            merge = Merge(weights, deltas, targets, trained_base)
            merge.run(out, self.config.max_shard_size, self.ctx)
            largest = max((weights.info(name) for name in weights.names()), key=lambda info: info.nbytes)
            contradictory = contradicts(weights, self.base_config)
        _write_beside(self, out, targets)
        _report(merge, adapter.modules, self.ctx)
        _tell(targets, contradictory, self.base_config, self.ctx)
        return _Merged(
            self.ctx.artifact("hf-model", meta=self.merged_meta),
            largest.dtype,
            merge.gap,
        )

    @property
    def merged_meta(self) -> Meta:
        meta = meta_beside_tokenizer(self.base.meta)
        return with_tokenizer(meta) if has_tokenizer(self.model.path) else meta

    @property
    def trained_in(self) -> str:
        """The dtype that the base was cast to for training."""
        return str(self.model.meta.extra.get("dtype", "float32"))

    def compares(self) -> bool:
        """Whether to open models and compare logits."""
        if self.config.verify != "auto":
            return self.config.verify == "required"
        with Checkpoint(self.base.path) as weights:
            return weights.nbytes < _SMALL

    def compare(self, merged: _Merged, reference: Artifact, name: str) -> None:
        """Raise PassError when the merged model's logits are not those of the reference."""
        if not self.compares():
            return
        try:
            wanted = verify.logits(reference, self.base_config, self.ctx)
            found = verify.logits(merged.artifact, self.base_config, self.ctx)
        except (UserError, PassError, MissingDependencyError) as error:
            if self.config.verify == "required":
                raise
            self.ctx.note(f"The merged model was not compared with {name}: {error.message}")
            return
        measured = verify.difference(found, wanted)
        self.ctx.report("logits_difference", measured)
        in_bits = "quantization" in reference.meta.extra
        verify.check(measured, verify.coarser(merged.dtype, self.trained_in) if in_bits else merged.dtype)


def _loaded(folder: Path, names: Sequence[str], trust: bool) -> Loaded:
    # Here, not at the top: importing transformers takes longer than most merges, and few models need it.
    from modelpress_plugins.hf.names import LoadedNames  # noqa: PLC0415

    return LoadedNames(folder, names, trust)


def _tell(targets: Targets, contradictory: bool, base: ModelConfig, ctx: PassContext) -> None:
    if contradictory:
        ctx.note(
            "config.json of the base ties head and embedding, but its file holds two that differ: they stay "
            "two, and config.json says so now."
        )
    elif targets.untied:
        ctx.note(
            "Head and embedding shared one weight, and the adapter changes only one of them: the merged "
            "model has two."
        )
    if targets.vocabulary:
        ctx.note(
            f"The adapter brings embeddings of its own: the vocabulary has {targets.vocabulary:,} rows now, "
            f"and had {base.vocabulary:,}."
        )


def _report(merge: Merge, modules: int, ctx: PassContext) -> None:
    ctx.report("adapter_modules", modules)
    ctx.report("merged_modules", merge.merged)
    ctx.report("changed_tensors", merge.changed)
    if merge.merged != modules:
        raise PassError(f"Only {merge.merged} of the adapter's {modules} modules were merged.")
    if not merge.changed:
        raise PassError(
            "The merged weights equal the base's: the adapter changes nothing.",
            "Its product is zero, or below one rounding step of the base's dtype. Train it further.",
        )
