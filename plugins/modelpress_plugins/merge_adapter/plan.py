"""What can be told of a merge before any work: from configs and headers, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelpress.api import Checkpoint, ModelFacts, PlanContext, UserError
from modelpress_plugins.hf.adapter import STEM, read_adapter, why_not
from modelpress_plugins.hf.adapter_targets import match
from modelpress_plugins.hf.config import ModelConfig, read_adapter_config
from modelpress_plugins.hf.files import has_tokenizer, meta_beside_tokenizer, with_tokenizer
from modelpress_plugins.hf.tokenizer_size import check_rows

from .config import MergeAdapterOptions

_MEMORY = 700 * 10**6
"""Bytes of the process at its peak: torch and one block of a weight, whatever the model's size."""


def plan(model: ModelFacts, config: MergeAdapterOptions, ctx: PlanContext) -> ModelFacts:
    """Facts of the merged model: those of the base."""
    ctx.needs(memory=_MEMORY)
    base = model.base
    if base is None:
        ctx.problem("The adapter does not say which base model it belongs to.")
        return replace(model, format="hf-model")
    if method := ModelConfig(base.config).quant_method:
        ctx.problem(
            f"The base model is quantized ({method}); an adapter can only be merged into floating weights.",
            "Give the model that it was quantized from as the base.",
        )
    elif model.path is not None:
        _check_adapter(model.path, base.path, base.config, ctx)
    if config.merge_base != "auto" and "quantization" not in model.meta.extra:
        ctx.note("merge_base has no effect: the adapter was not trained on a 4-bit base.")
    meta = meta_beside_tokenizer(base.meta)
    if model.path is None or has_tokenizer(model.path):
        meta = with_tokenizer(meta)
    return replace(base, format="hf-model", path=None, identity="", meta=meta)


def _check_adapter(folder: Path, base: Path | None, config: Mapping[str, Any], ctx: PlanContext) -> None:
    try:
        if reason := why_not(read_adapter_config(folder)):
            ctx.problem(f"The adapter in {folder} cannot be merged: {reason}.")
            return
        with Checkpoint(folder, STEM) as deltas:
            adapter = read_adapter(folder, deltas)
            if base is not None:
                with Checkpoint(base) as weights:
                    targets = match(adapter, weights, deltas, ModelConfig(config), load=None)
                if has_tokenizer(folder):
                    check_rows(folder, base, targets.vocabulary or ModelConfig(config).vocabulary)
    except UserError as error:
        ctx.problem(error.message, error.hint)
