"""What a pass goes by where its options leave it to the model. Light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from modelpress.api import Meta
from modelpress_plugins.onnx_quantize.config import OnnxBnb4QuantizationConfig


class Bnb4Settings(NamedTuple):
    """precision: None when nothing says it."""

    precision: Literal["fp4", "nf4"] | None
    modules: tuple[str, ...]


def bnb4_settings(config: OnnxBnb4QuantizationConfig, meta: Meta) -> Bnb4Settings:
    """Levels and modules: as the options say, else as the model's attributes do."""
    attributes = meta.extra.get("model_attributes")
    attributes = attributes if isinstance(attributes, Mapping) else {}
    modules = config.quantized_modules or attributes.get("quantized_modules")
    told = attributes.get("quantization_config")
    kind = told.get("bnb_4bit_quant_type") if isinstance(told, Mapping) else None
    precision = config.precision or (kind if kind in ("fp4", "nf4") else None)
    names = tuple(map(str, modules)) if isinstance(modules, list | tuple) else ()
    return Bnb4Settings(precision, names)
