"""A model's own classes without its weights: what computes, where the weights come from somewhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from accelerate import init_empty_weights  # type: ignore[import-untyped]
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    PretrainedConfig,
    PreTrainedModel,
)

from modelpress_plugins.hf.reading import reading


def open_config(
    folder: Path, *, trust_remote_code: bool, attention: Literal["eager"] | None = None
) -> PretrainedConfig:
    """transformers' object for config.json, from the folder alone. Raises UserError when it refuses it.

    attention: an implementation of attention to ask for.
    """
    chosen = {"attn_implementation": attention} if attention else {}
    with reading(f"transformers cannot open the config.json in {folder}"):
        config: PretrainedConfig = AutoConfig.from_pretrained(
            folder, trust_remote_code=trust_remote_code, local_files_only=True, **chosen
        )
    return config


def auto_class(config: PretrainedConfig) -> type[AutoModelForCausalLM | AutoModelForImageTextToText]:
    """What opens a model of this config as a language model: some that take images are no causal language
    models to transformers, though they are, as soon as they are given text alone."""
    own = getattr(config, "auto_map", None) or {}
    for auto in (AutoModelForCausalLM, AutoModelForImageTextToText):
        if type(config) in auto._model_mapping or auto.__name__ in own:
            return auto
    return AutoModelForCausalLM


def bare_model(config: PretrainedConfig, *, trust_remote_code: bool) -> PreTrainedModel:
    """The causal language model of a config, in eval mode: parameters on `meta`, float32; buffers (rotary
    frequencies) as they are."""
    with init_empty_weights(include_buffers=False):
        model: PreTrainedModel = auto_class(config).from_config(  # type: ignore[no-untyped-call]
            config, trust_remote_code=trust_remote_code, dtype=torch.float32
        )
    model.eval()  # type: ignore[no-untyped-call]
    return model
