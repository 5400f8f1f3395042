"""What can be said before any work, from config.json alone: no torch here."""

from __future__ import annotations

from dataclasses import replace

from modelpress.api import ModelFacts, PlanContext

from .config import CastDtypeOptions

_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


def plan(model: ModelFacts, config: CastDtypeOptions, ctx: PlanContext) -> ModelFacts:
    """The model that will come out. Problems are told with ctx.problem, all of them, and never raised."""
    if "quantization_config" in model.config:
        ctx.problem(
            "The model is quantized; there are no floating weights to cast.",
            "Put CastDtype before the quantization.",
        )
    before = str(model.config.get("dtype") or model.config.get("torch_dtype") or "float32")
    size = model.size * _BYTES[config.dtype] // _BYTES.get(before, 4)
    return replace(model, config={**model.config, "dtype": config.dtype}, size=size)
