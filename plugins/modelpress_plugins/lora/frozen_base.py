"""Open the base model for training: frozen, in the type that suits the machine, in 4 bits when asked."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel

from modelpress.api import Accelerator, Artifact, UserError
from modelpress_plugins.hf.four_bits import compute_as_everywhere
from modelpress_plugins.lora.config import AdapterConfig, Dtype, QLoRAConfig

_NOT_PASSED = {"torch_dtype", "dtype", "device_map", "trust_remote_code", "quantization_method",
               "quantization_config", "revision",
    "max_memory", "offload_folder"}  # fmt: skip


def train_device(accelerator: Accelerator) -> torch.device:
    """Where to train. Raises UserError when a GPU is asked for that is not there."""
    if accelerator.device != "gpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UserError(
            "The accelerator is gpu, but torch sees no CUDA device.",
            "Set the device of the host system to cpu, or install a torch build for this GPU.",
        )
    return torch.device("cuda", torch.cuda.current_device())


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
    options = {k: v for k, v in dict(model.meta.get("load_kwargs") or {}).items() if k not in _NOT_PASSED}
    if bits:
        options["quantization_config"] = BitsAndBytesConfig(**bits)  # type: ignore[no-untyped-call]
    opened: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        model.path,
        dtype=dtype,
        device_map=None if device.type == "cpu" and not bits else {"": device},
        local_files_only=True,
        trust_remote_code=bool(model.meta.get("trust_remote_code", False)),
        use_safetensors=True,
        **options,
    )
    compute_as_everywhere(opened)
    return opened
