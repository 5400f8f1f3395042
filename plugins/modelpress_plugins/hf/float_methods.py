"""Which quantized checkpoints stand for a float model that float_form can compute from them. Light."""

from __future__ import annotations

from collections.abc import Mapping

from modelpress_plugins.hf.config import ModelConfig

_FACTOR: Mapping[str, float] = {"fp8": 2.0, "mxfp4": 3.8}
"""`quant_method` -> how many times as many bytes the same weights take in 16 bits, about."""


def has_float_form(config: ModelConfig) -> bool:
    """Whether `float_form` can write the model that a checkpoint stands for."""
    return config.quant_method in _FACTOR


def float_size(config: ModelConfig, size: int) -> int:
    """Bytes of the float model; size: of the quantized one."""
    return int(size * _FACTOR[config.quant_method])


def without_quantization(config: ModelConfig, dtype: str) -> dict[str, object]:
    """config.json of the float model."""
    document = {key: value for key, value in config.document.items() if key != "quantization_config"}
    nested = document.get("text_config")
    if isinstance(nested, Mapping):
        document["text_config"] = {k: v for k, v in nested.items() if k != "quantization_config"}
    key = "torch_dtype" if "torch_dtype" in document and "dtype" not in document else "dtype"
    return {**document, key: dtype}
