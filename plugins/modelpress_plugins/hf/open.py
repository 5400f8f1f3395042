"""Open `hf-model` and `hf-adapter` artifacts in transformers and PEFT, to be measured or asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig

from modelpress.api import Artifact, MissingDependencyError, UserError
from modelpress_plugins.hf.four_bits import compute_as_everywhere
from modelpress_plugins.hf.quantized import QuantizedCheckpoint, is_quantized
from modelpress_plugins.hf.text_model import HfTextModel
from modelpress_plugins.hf.tokenizer import load_tokenizer

_CONSUMED = ("torch_dtype", "device_map")
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def load_hf_model(artifact: Artifact, device: str) -> HfTextModel:
    """Open a model. device: cpu or gpu. Weights are float32 on a CPU and as stored on a GPU, unless
    load_kwargs.torch_dtype says otherwise. Raises UserError when it cannot be opened."""
    model = load_causal_lm(artifact, device)
    return HfTextModel(model, load_tokenizer(artifact))


def load_hf_adapter(artifact: Artifact, device: str) -> HfTextModel:
    """Open an adapter on its base; the base quantized in the way it was while the adapter was trained."""
    if artifact.base is None:
        raise UserError(f"The adapter {artifact.path} does not say which base it belongs to.")
    base = load_causal_lm(artifact.base, device, artifact.meta.get("quantization"))
    try:
        model = PeftModel.from_pretrained(base, str(artifact.path)).eval()
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(f"The adapter {artifact.path} does not fit {artifact.base.path}: {error}") from error
    return HfTextModel(model, load_tokenizer(artifact))


def load_causal_lm(artifact: Artifact, device: str, quantization: Mapping[str, Any] | None = None) -> Any:
    """A transformers model, in eval mode, from the artifact's own files; no network is asked.

    quantization: arguments of BitsAndBytesConfig; None takes what the artifact's meta says, if anything.
    """
    place = _torch_device(device)
    kwargs = dict(artifact.meta.get("load_kwargs") or {})
    bits = quantization or artifact.meta.get("quantization")
    options: dict[str, Any] = {
        **{key: value for key, value in kwargs.items() if key not in _CONSUMED},
        "dtype": _dtype(kwargs.get("torch_dtype"), place),
        "trust_remote_code": bool(artifact.meta.get("trust_remote_code", False)),
    }
    if bits:
        options["quantization_config"] = BitsAndBytesConfig(**bits)  # type: ignore[no-untyped-call]
    if place.type != "cpu" or bits:
        options["device_map"] = kwargs.get("device_map") or {"": place}
    try:
        model = load_weights(artifact, options).eval()
    except ImportError as error:
        raise MissingDependencyError(
            str(error), 'Install it with `pip install "modelpress[qlora]"`.'
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{artifact.path} cannot be opened: {error}") from error
    compute_as_everywhere(model)
    return model


def load_weights(artifact: Artifact, options: Mapping[str, Any]) -> Any:
    """from_pretrained with the options; a checkpoint quantized by this package is opened as the float model
    that it stands for."""
    config = json.loads((artifact.path / "config.json").read_text(encoding="utf-8"))
    if not is_quantized(config):
        return AutoModelForCausalLM.from_pretrained(
            artifact.path, local_files_only=True, use_safetensors=True, **options
        )
    with QuantizedCheckpoint(artifact.path) as checkpoint:
        state = {name: checkpoint.read(name) for name in checkpoint.names()}
    float_config = AutoConfig.from_pretrained(
        artifact.path, local_files_only=True, trust_remote_code=options["trust_remote_code"]
    )
    del float_config.quantization_config
    if "lm_head.weight" in state:
        float_config.tie_word_embeddings = False
    if options["dtype"] == "auto":
        options = {**options, "dtype": float_config.dtype or torch.float16}
    with torch.device("meta"):
        shape = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            float_config, trust_remote_code=options["trust_remote_code"]
        )
    options = {key: value for key, value in options.items() if key != "trust_remote_code"}
    return type(shape).from_pretrained(None, config=float_config, state_dict=state, **options)


def _dtype(name: str | None, device: torch.device) -> torch.dtype | str:
    if name is None:
        return torch.float32 if device.type == "cpu" else "auto"
    if name == "auto":
        return "auto"
    short = name.removeprefix("torch.")
    if short not in _DTYPES:
        raise UserError(f"torch_dtype {name!r} is not known.", f"It is one of {', '.join(_DTYPES)}, auto.")
    return _DTYPES[short]


def _torch_device(device: str) -> torch.device:
    if device == "cpu":
        return torch.device("cpu")
    if device not in ("gpu", "cuda"):
        raise UserError(f"transformers cannot run a model on the device {device!r}.", "Use cpu or gpu.")
    if not torch.cuda.is_available():
        raise UserError(
            "The accelerator is gpu, but torch sees no CUDA device.",
            "Set the device of the system to cpu, or install a torch build for this GPU.",
        )
    return torch.device("cuda", torch.cuda.current_device())
