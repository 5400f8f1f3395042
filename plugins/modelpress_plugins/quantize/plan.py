"""What can be told about a quantization before any work, from config.json alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from modelpress.api import ModelFacts, PlanContext
from modelpress_plugins.hf.config import ModelConfig
from modelpress_plugins.hf.families import ROTATABLE
from modelpress_plugins.hf.files import meta_beside_tokenizer, require_tokenizer
from modelpress_plugins.quantize.config import (
    CalibratedConfig,
    DataOptions,
    QuantizerConfig,
    QuaRotConfig,
    SelectiveMixedPrecisionConfig,
)
from modelpress_plugins.quantize.marks import FORMAT as MARKED

SMALLEST_GROUP, LARGEST_GROUP, WHOLE_ROW = 16, 256, -1
METHOD = "olive"
LIBRARIES = 450 * 2**20
"""Memory that importing torch takes."""


def plan(model: ModelFacts, config: QuantizerConfig, ctx: PlanContext) -> ModelFacts:
    """For every pass that quantizes."""
    source = model.base or model
    before = quantization_of(source)
    if before.get("quant_method") != METHOD or config.row.calibrated:
        _check_model(source, ctx)
        before = {}
    elif not (config.lm_head or config.embeds):
        ctx.problem(
            "The model is already quantized, but for its output layer.",
            "Set `lm_head: true` to quantize that too, or drop this step.",
            option="lm_head",
        )
    if config.group_size == WHOLE_ROW:
        ctx.note(f"group_size -1: rows are stored in groups of {LARGEST_GROUP}, the largest of the runtime.")
    if isinstance(config, CalibratedConfig):
        tell_data(config, ctx)
        require_tokenizer(source, ctx)
    text = source.config.get("text_config") or source.config
    _check_widths(text, ctx)
    if source.size:
        layer = source.size / max(1, text.get("num_hidden_layers") or 1)
        ctx.needs(memory=LIBRARIES + int(6 * layer if isinstance(config, CalibratedConfig) else 64 * 2**20))
    shares = config.embeds and config.lm_head and bool(source.config.get("tie_word_embeddings"))
    block: dict[str, object] = {"quant_method": METHOD, "bits": config.bits, "symmetric": config.sym}
    block |= {
        "group_size": _stored(config.group_size),
        **before,
        "embeds": shares or bool(before.get("embeds")),
    }
    return replace(
        source,
        path=None,
        identity="",
        meta=meta_beside_tokenizer(source.meta),
        config={**source.config, "quantization_config": block},
        size=source.size if before else _size(source, config),
    )


def plan_marks(model: ModelFacts, config: SelectiveMixedPrecisionConfig, ctx: PlanContext) -> ModelFacts:
    """For SelectiveMixedPrecision: the model itself stays where it is."""
    _check_model(model, ctx)
    _check_budget(config, ctx)
    text = model.config.get("text_config") or model.config
    _check_widths(text, ctx)
    if config.algorithm in MEASURED_ON_DATA:
        tell_data(config, ctx)
        require_tokenizer(model, ctx)
    if model.size:
        ctx.needs(memory=LIBRARIES + int(6 * model.size / max(1, text.get("num_hidden_layers") or 1)))
    return ModelFacts(format=MARKED, config=model.config, size=4096, meta=model.meta, base=replace(model))


MEASURED_ON_DATA = ("fisher", "kld_gradient")
"""Algorithms of SelectiveMixedPrecision that need data."""


def tell_data(config: DataOptions, ctx: PlanContext) -> None:
    if config.data_config is None:
        ctx.note(
            "No data_config: it calibrates on a short text that comes with modelpress. Data like what the "
            "model will see does better."
        )


def quantization_of(model: ModelFacts) -> Mapping[str, object]:
    """The block of `config.json`; empty for a float model."""
    return ModelConfig(model.config).quantization


def _stored(group_size: int) -> int:
    return LARGEST_GROUP if group_size == WHOLE_ROW else group_size


def plan_rotation(model: ModelFacts, config: QuaRotConfig, ctx: PlanContext) -> ModelFacts:
    """For QuaRot: the model stays a float model of the same size."""
    _check_model(model, ctx)
    kind = model.config.get("model_type")  # of the whole: one with images has other parts on the stream
    if kind not in (None, *ROTATABLE):
        ctx.problem(
            f"Models of type {kind} cannot be rotated: what stands between their layers is "
            "not known to be a plain RMS norm.",
            f"Known: {', '.join(ROTATABLE)}.",
        )
    document = {**model.config, "tie_word_embeddings": False}
    return replace(model, path=None, identity="", config=document, meta=meta_beside_tokenizer(model.meta))


def _size(model: ModelFacts, config: QuantizerConfig) -> int:
    """Bytes of the quantized checkpoint. The embedding stays as it is, and a head that is tied to it gets a
    quantized copy; with `embeds` that copy is all there is."""
    facts = ModelConfig(model.config)
    each = 4 if facts.dtype == "float32" else 2
    table = facts.vocabulary * facts.hidden_size
    tied = bool(model.config.get("tie_word_embeddings"))
    kept = (0 if tied and config.embeds else table) if config.lm_head else table if tied else 2 * table
    quantized = model.size / each - kept + (table if tied and config.lm_head and kept else 0)
    bits = config.bits + (32 + (0 if config.sym else config.bits)) / _stored(config.group_size)
    return int(kept * each + max(0.0, quantized) * bits / 8)


def _check_model(model: ModelFacts, ctx: PlanContext) -> None:
    if kind := ModelConfig(model.config).other_kind:
        ctx.problem(f"The model is {kind}; the quantizers take causal language models.")
    method = quantization_of(model).get("quant_method")
    if method:
        ctx.problem(
            f"The model is already quantized (by {method}).", "Give the float model to this step, or drop it."
        )


def _check_widths(text: Mapping[str, object], ctx: PlanContext) -> None:
    for key in ("hidden_size", "intermediate_size"):
        width = text.get(key)
        if isinstance(width, int) and width % SMALLEST_GROUP:
            ctx.problem(
                f"{key} is {width}, which no block of {SMALLEST_GROUP} or more divides.",
                "Such a model cannot be quantized in blocks.",
            )


def _check_budget(config: SelectiveMixedPrecisionConfig, ctx: PlanContext) -> None:
    if config.algorithm.startswith("k_quant"):
        for name in ("max_size", "bits_per_weight", "ratio", "high_group_size"):
            if getattr(config, name) is not None:
                ctx.note(f"{name} has no effect: {config.algorithm} is a list of modules.")
        return
    given = [n for n in ("max_size", "bits_per_weight", "ratio") if getattr(config, n) is not None]
    if len(given) > 1:
        ctx.problem(f"{' and '.join(given)} both set a budget.", "Give one of them.", option=given[1])
    if config.high_bits <= config.bits:
        ctx.problem(
            f"high_bits is {config.high_bits}, not more than bits, {config.bits}.", option="high_bits"
        )
