"""Open the base model for training: frozen, in the type that suits the machine, in 4 bits when asked."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel

from modelpress.api import Artifact
from modelpress_plugins.hf.open import open_causal_lm
from modelpress_plugins.lora.config import AdapterConfig, Dtype, QLoRAConfig

_PLACEMENT = ("max_memory", "offload_folder")
"""What the user said of loading that does not hold for training, which is on one device."""


def training_dtype(name: Dtype, device: torch.device) -> torch.dtype:
    """`auto` is float32 on a CPU (few have fast bfloat16) and bfloat16 on a GPU that has it."""
    if name != "auto":
        chosen: torch.dtype = getattr(torch, name)
        return chosen
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.bfloat16
    return torch.float32


def quantization(config: AdapterConfig, dtype: torch.dtype, device: torch.device) -> dict[str, Any] | None:
    """How QLoRA holds the base, as arguments of BitsAndBytesConfig in JSON values; None for the others."""
    if not isinstance(config, QLoRAConfig):
        return None
    compute = dtype if config.compute_dtype == "auto" else training_dtype(config.compute_dtype, device)
    return {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": config.quant_type,
        "bnb_4bit_use_double_quant": config.double_quant,
        "bnb_4bit_compute_dtype": str(compute).removeprefix("torch."),
    }


def open_base(
    model: Artifact, dtype: torch.dtype, device: torch.device, bits: dict[str, Any] | None
) -> PreTrainedModel:
    """Load the weights from the artifact's own files; nothing is asked of a hub."""
    placed = None if device.type == "cpu" and not bits else {"": device}
    return open_causal_lm(model, dtype, placed, bits, without=_PLACEMENT)
