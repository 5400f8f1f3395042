"""Write an adapter as peft reads it, the same bytes wherever the base lies and in every run."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file

from modelpress.api import Artifact, PassError
from modelpress_plugins.hf.config import ADAPTER_CONFIG, read_json

WEIGHTS = "adapter_model.safetensors"
_SETS = ("target_modules", "target_parameters", "exclude_modules", "modules_to_save")


def save_weights(model: PeftModel, folder: Path) -> None:
    """The adapter's tensors alone. peft's own save_pretrained would also write a model card, and look on
    the hub for the base's config to learn whether the vocabulary was resized."""
    state: dict[str, torch.Tensor] = get_peft_model_state_dict(model, save_embedding_layers=False)
    tensors = {name: state[name].detach().cpu().clone().contiguous() for name in sorted(state)}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def check_finite(model: PeftModel) -> None:
    """Raises PassError when a trained weight is NaN or infinite."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and not bool(torch.isfinite(parameter).all()):
            raise PassError(f"The trained weight {name} holds NaN or infinite values.", NOT_FINITE_HINT)


def save_config(config: PeftConfig, base: Artifact, folder: Path) -> None:
    """The base is named by what it is (`org/name`, or its key), never by where it lies."""
    config.inference_mode = True
    config.save_pretrained(str(folder))
    path = folder / ADAPTER_CONFIG
    document = read_json(path)
    for name in _SETS:  # peft keeps them as sets, whose order changes from process to process
        if isinstance(names := document.get(name), list):
            names.sort()
    document["base_model_name_or_path"], document["revision"] = _base_name(base)
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _base_name(base: Artifact) -> tuple[str, str | None]:
    if base.key.startswith("hub:"):
        name, _, commit = base.key.removeprefix("hub:").partition("@")
        return name, commit or None
    return base.key, None


NOT_FINITE_HINT = (
    "Lower training_args.learning_rate, set training_args.max_grad_norm, or choose torch_dtype: float32."
)
