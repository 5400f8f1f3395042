"""Open `hf-model` and `hf-adapter` artifacts in transformers and PEFT: to be trained, measured or asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from peft import PeftModel, prepare_model_for_kbit_training
from transformers import BitsAndBytesConfig, PreTrainedModel

from modelpress.api import Artifact, Checkpoint, JSONValue, MissingDependencyError, UserError
from modelpress_plugins.hf.adapter import STEM, saved_rows
from modelpress_plugins.hf.bare_model import auto_class, bare_model, open_config
from modelpress_plugins.hf.config import read_config
from modelpress_plugins.hf.files import find_tokenizer
from modelpress_plugins.hf.four_bits import compute_as_everywhere, trained_bits
from modelpress_plugins.hf.quantized import QuantizedCheckpoint, forget_loader, is_quantized
from modelpress_plugins.hf.reading import reading
from modelpress_plugins.hf.text_model import HfTextModel
from modelpress_plugins.hf.tokenizer import load_tokenizer
from modelpress_plugins.hf.torch_device import torch_device
from modelpress_plugins.hf.whole import require_whole

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_SAID_OTHERWISE = ("torch_dtype", "dtype", "device_map", "trust_remote_code", "revision")
"""Keys of load_kwargs that from_pretrained is told in another way."""


def load_hf_model(artifact: Artifact, device: str) -> HfTextModel:
    """Open a model. device: cpu or gpu. Weights are float32 on a CPU and as stored on a GPU, unless
    load_kwargs.torch_dtype says otherwise. Raises UserError when it cannot be opened."""
    model = load_causal_lm(artifact, device)
    return HfTextModel(model, _tokenizer(artifact))


def load_hf_adapter(artifact: Artifact, device: str) -> HfTextModel:
    """Open an adapter on its base; the base quantized in the way it was while the adapter was trained."""
    if artifact.base is None:
        raise UserError(f"The adapter {artifact.path} does not say which base it belongs to.")
    bits = trained_bits(artifact.meta)
    said = artifact.meta.extra.get("dtype")
    trained_in = str(said) if bits and said else None
    base = load_causal_lm(artifact.base, device, bits, trained_in)
    with reading(f"The adapter {artifact.path} does not fit {artifact.base.path}"):
        _resize(base, artifact)
        model = PeftModel.from_pretrained(base, str(artifact.path)).eval()
    return HfTextModel(model, _tokenizer(artifact))


def _tokenizer(artifact: Artifact) -> Any | None:
    return load_tokenizer(artifact) if find_tokenizer(artifact) else None


def _resize(base: PreTrainedModel, adapter: Artifact) -> None:
    """Give the base as many rows as the embedding has that the adapter brings, if it does: peft does not."""
    with Checkpoint(adapter.path, STEM) as deltas:
        rows = saved_rows(deltas)
    if rows and rows != base.get_input_embeddings().get_parameter("weight").shape[0]:
        base.resize_token_embeddings(rows, mean_resizing=False)


def load_causal_lm(
    artifact: Artifact,
    device: str,
    quantization: Mapping[str, JSONValue] | None = None,
    trained_in: str | None = None,
) -> PreTrainedModel:
    """A transformers model, in eval mode, placed and typed as the user's load_kwargs say.

    quantization: arguments of BitsAndBytesConfig; None takes what the artifact's meta says, if anything.
    trained_in: the dtype that training cast the weights to before it quantized them; what stayed a float it
    raised to float32, and so does this.
    """
    place = torch_device(device)
    told = artifact.meta.load_kwargs
    bits = quantization or trained_bits(artifact.meta)
    placed: object = told.get("device_map") or {"": place} if place.type != "cpu" or bits else None
    wanted = trained_in or told.get("torch_dtype")
    try:
        with reading(f"{artifact.path} cannot be opened"):
            dtype = _dtype(str(wanted) if wanted else None, place)
            model = open_causal_lm(artifact, dtype, placed, bits)
    except ImportError as error:
        raise MissingDependencyError(
            str(error), 'Install it with `pip install "modelpress[qlora]"`.'
        ) from error
    if trained_in:
        prepare_model_for_kbit_training(  # type: ignore[no-untyped-call]
            model, use_gradient_checkpointing=False
        )
    model.eval()  # type: ignore[no-untyped-call]
    return model


def open_causal_lm(
    artifact: Artifact,
    dtype: torch.dtype | str,
    device_map: object = None,
    quantization: Mapping[str, object] | None = None,
    *,
    without: Iterable[str] = (),
) -> PreTrainedModel:
    """The one call of from_pretrained for weights: from the artifact's own files, safetensors only; no
    network is asked. A checkpoint quantized by this package is opened as the float model it stands for.

    dtype: a torch dtype, or `auto`: as stored. device_map: as accelerate takes it; None: the CPU.
    quantization: arguments of BitsAndBytesConfig. without: keys of the user's load_kwargs to leave out.
    """
    told = artifact.meta.load_kwargs
    options: dict[str, Any] = {k: v for k, v in told.items() if k not in (*_SAID_OTHERWISE, *without)}
    options["dtype"] = dtype
    if device_map is not None:
        options["device_map"] = device_map
    if quantization:
        options["quantization_config"] = BitsAndBytesConfig(**quantization)  # type: ignore[no-untyped-call]
    if is_quantized(read_config(artifact.path).document):
        return _open_dequantized(artifact, options)
    require_whole(artifact.path, trust_remote_code=artifact.meta.trust_remote_code)
    config = open_config(artifact.path, trust_remote_code=artifact.meta.trust_remote_code)
    with reading(f"{artifact.path} cannot be opened"):
        opened: PreTrainedModel = auto_class(config).from_pretrained(
            artifact.path,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=artifact.meta.trust_remote_code,
            **options,
        )
    compute_as_everywhere(opened)
    return opened


def _open_dequantized(artifact: Artifact, options: dict[str, Any]) -> PreTrainedModel:
    with QuantizedCheckpoint(artifact.path) as checkpoint:
        state = {name: checkpoint.read(name) for name in checkpoint.names()}
    config = open_config(artifact.path, trust_remote_code=artifact.meta.trust_remote_code)
    del config.quantization_config
    forget_loader(config)
    if "lm_head.weight" in state:
        config.tie_word_embeddings = False
    if options["dtype"] == "auto":
        options["dtype"] = config.dtype or torch.float16
    with reading(f"{artifact.path} cannot be opened"):
        kind = type(bare_model(config, trust_remote_code=artifact.meta.trust_remote_code))
        opened: PreTrainedModel = kind.from_pretrained(None, config=config, state_dict=state, **options)
    return opened


def _dtype(name: str | None, device: torch.device) -> torch.dtype | str:
    if name is None:
        return torch.float32 if device.type == "cpu" else "auto"
    if name == "auto":
        return "auto"
    short = name.removeprefix("torch.")
    if short not in _DTYPES:
        raise UserError(f"torch_dtype {name!r} is not known.", f"It is one of {', '.join(_DTYPES)}, auto.")
    return _DTYPES[short]
