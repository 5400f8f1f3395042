"""What can be told about a quantization before any work, from config.json alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from modelpress.api import ModelFacts, PlanContext
from modelpress_plugins.quantize.config import (
    CalibratedConfig,
    QuantizerConfig,
    QuaRotConfig,
    SelectiveMixedPrecisionConfig,
)

SMALLEST_GROUP = 16
LIBRARIES = 450 * 2**20
"""Memory that importing torch takes."""


def plan(model: ModelFacts, config: QuantizerConfig, ctx: PlanContext) -> ModelFacts:
    """For every pass that quantizes."""
    _check_model(model, ctx)
    if config.embeds:
        ctx.problem(
            "Input embeddings cannot be quantized: the builder of onnxruntime-genai reads them as floats.",
            "Leave `embeds` out. With tied embeddings, ModelBuilder can share the quantized output layer.",
            option="embeds",
        )
    if isinstance(config, SelectiveMixedPrecisionConfig):
        _check_budget(config, ctx)
    text = model.config.get("text_config") or model.config
    _check_widths(text, ctx)
    if model.size:
        layer = model.size / max(1, text.get("num_hidden_layers") or 1)
        ctx.needs(memory=LIBRARIES + int(6 * layer if isinstance(config, CalibratedConfig) else 64 * 2**20))
    block = {"quant_method": "olive", "bits": config.bits, "group_size": config.group_size}
    return replace(
        model,
        path=None,
        identity="",
        config={**model.config, "quantization_config": {**block, "symmetric": config.sym}},
        size=_size(model, text, config),
    )


def plan_rotation(model: ModelFacts, config: QuaRotConfig, ctx: PlanContext) -> ModelFacts:
    """For QuaRot: the model stays a float model of the same size."""
    _check_model(model, ctx)
    text = model.config.get("text_config") or model.config
    if text.get("model_type") not in (None, *ROTATABLE):
        ctx.problem(
            f"Models of type {text.get('model_type')} cannot be rotated: what stands between their layers is "
            "not known to be a plain RMS norm.",
            f"Known: {', '.join(ROTATABLE)}.",
        )
    return replace(model, path=None, identity="", config={**model.config, "tie_word_embeddings": False})


ROTATABLE = ("llama", "mistral", "phi3", "qwen2", "qwen3", "smollm3", "granite")


def _size(model: ModelFacts, text: Mapping[str, Any], config: QuantizerConfig) -> int:
    """Bytes of the quantized checkpoint. The embedding stays as it is, and a head that is tied to it gets a
    quantized copy."""
    each = 4 if (text.get("dtype") or text.get("torch_dtype")) == "float32" else 2
    table = int(text.get("vocab_size") or 0) * int(text.get("hidden_size") or 0)
    tied = bool(model.config.get("tie_word_embeddings"))
    kept = table if config.lm_head or tied else 2 * table
    quantized = model.size / each - kept + (table if tied and config.lm_head else 0)
    bits = config.bits + (32 + (0 if config.sym else config.bits)) / config.group_size
    return int(kept * each + max(0.0, quantized) * bits / 8)


def _check_model(model: ModelFacts, ctx: PlanContext) -> None:
    method = (model.config.get("quantization_config") or {}).get("quant_method")
    if method:
        ctx.problem(
            f"The model is already quantized (by {method}).", "Give the float model to this step, or drop it."
        )


def _check_widths(text: Mapping[str, Any], ctx: PlanContext) -> None:
    for key in ("hidden_size", "intermediate_size"):
        width = text.get(key)
        if isinstance(width, int) and width % SMALLEST_GROUP:
            ctx.problem(
                f"{key} is {width}, which no block of {SMALLEST_GROUP} or more divides.",
                "Such a model cannot be quantized in blocks.",
            )


def _check_budget(config: SelectiveMixedPrecisionConfig, ctx: PlanContext) -> None:
    given = [n for n in ("max_size", "bits_per_weight", "ratio") if getattr(config, n) is not None]
    if len(given) > 1:
        ctx.problem(f"{' and '.join(given)} both set a budget.", "Give one of them.", option=given[1])
    if config.high_bits <= config.bits:
        ctx.problem(
            f"high_bits is {config.high_bits}, not more than bits, {config.bits}.", option="high_bits"
        )
