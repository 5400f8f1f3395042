"""What can be told about a quantization before any work, from config.json alone."""

from __future__ import annotations

from dataclasses import replace

from modelpress.api import ModelFacts, PlanContext, parse_size
from modelpress_plugins.hf.config import LOADER, METHOD, ModelConfig, changed_document
from modelpress_plugins.hf.families import rotatable
from modelpress_plugins.hf.files import meta_beside_tokenizer, require_tokenizer
from modelpress_plugins.quantize.config import (
    CalibratedConfig,
    DataOptions,
    GridOptions,
    QuantizerConfig,
    QuaRotConfig,
    SelectiveMixedPrecisionConfig,
)
from modelpress_plugins.quantize.marks import FORMAT as MARKED

SMALLEST_GROUP, LARGEST_GROUP, WHOLE_ROW = 16, 256, -1
_UNSURE = 0.1
"""How far the estimate of a size may be off."""
LIBRARIES = 450 * 2**20
"""Memory that importing torch takes."""


def plan(model: ModelFacts, config: QuantizerConfig, ctx: PlanContext) -> ModelFacts:
    """For every pass that quantizes."""
    source = model.base or model
    facts = ModelConfig(source.config)
    before = facts.quantization
    if facts.quant_method != METHOD or config.row.calibrated:
        _check_model(source, ctx, layered=config.row.calibrated)
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
    _check_widths(facts, ctx)
    if source.size:
        layer = source.size / max(1, facts.layers)
        ctx.needs(memory=LIBRARIES + int(6 * layer if isinstance(config, CalibratedConfig) else 64 * 2**20))
    shares = config.embeds and config.lm_head and bool(facts.tied)
    block: dict[str, object] = {"quant_method": METHOD, "bits": config.bits, "symmetric": config.sym}
    block |= {
        "group_size": _stored(config.group_size),
        **before,
        "embeds": shares or bool(before.get("embeds")),
        "modules_to_not_convert": list(config.modules_to_not_convert or ())
        or before.get("modules_to_not_convert"),
    }
    return replace(
        source,
        path=None,
        identity="",
        meta=meta_beside_tokenizer(source.meta),
        config={**source.config, **LOADER, "quantization_config": block},
        size=source.size if before else _size(source, facts, config),
    )


def plan_marks(model: ModelFacts, config: SelectiveMixedPrecisionConfig, ctx: PlanContext) -> ModelFacts:
    """For SelectiveMixedPrecision: the model itself stays where it is."""
    facts = ModelConfig(model.config)
    _check_model(model, ctx, layered=config.algorithm in MEASURED_ON_DATA)
    _check_budget(config, ctx)
    _check_room(model, facts, config, ctx)
    _check_widths(facts, ctx)
    if config.algorithm in MEASURED_ON_DATA:
        tell_data(config, ctx)
        require_tokenizer(model, ctx)
    if model.size:
        ctx.needs(memory=LIBRARIES + int(6 * model.size / max(1, facts.layers)))
    return ModelFacts(format=MARKED, config=model.config, size=4096, meta=model.meta, base=replace(model))


MEASURED_ON_DATA = ("fisher", "kld_gradient")
"""Algorithms of SelectiveMixedPrecision that need data."""


def tell_data(config: DataOptions, ctx: PlanContext) -> None:
    if config.data_config is None:
        ctx.note(
            "No data_config: it calibrates on a short text that comes with modelpress. Data like what the "
            "model will see does better."
        )


def _stored(group_size: int) -> int:
    return LARGEST_GROUP if group_size == WHOLE_ROW else group_size


def plan_rotation(model: ModelFacts, config: QuaRotConfig, ctx: PlanContext) -> ModelFacts:
    """For QuaRot: the model stays a float model of the same size."""
    _check_model(model, ctx, layered=False)
    facts = ModelConfig(model.config)
    several = "text_config" in model.config  # one with images has other parts on the stream
    if several or (facts.model_type and not facts.family.rotatable):
        ctx.problem(
            f"Models of type {facts.model_type} cannot be rotated: what stands between their layers is "
            "not known to be a plain RMS norm.",
            f"Known: {', '.join(rotatable())}.",
        )
    document = changed_document(facts, untied=True)
    return replace(model, path=None, identity="", config=document, meta=meta_beside_tokenizer(model.meta))


def _size(model: ModelFacts, facts: ModelConfig, config: GridOptions) -> int:
    """Bytes of the quantized checkpoint. The embedding stays as it is, and a head that is tied to it gets a
    quantized copy; with `embeds` that copy is all there is."""
    each, table, tied = facts.item_bytes, facts.vocabulary * facts.hidden_size, bool(facts.tied)
    embeds = isinstance(config, QuantizerConfig) and config.embeds
    kept = (0 if tied and embeds else table) if config.lm_head else table if tied else 2 * table
    quantized = model.size / each - kept + (table if tied and config.lm_head and kept else 0)
    bits = config.bits + (32 + (0 if config.sym else config.bits)) / _stored(config.group_size)
    return int(kept * each + max(0.0, quantized) * bits / 8)


def _check_room(
    model: ModelFacts, facts: ModelConfig, config: SelectiveMixedPrecisionConfig, ctx: PlanContext
) -> None:
    """Whether the budget can hold every module at the lower bits. By estimate: the work says it to the byte,
    before it measures anything."""
    floor = config.bits + (32 + (0 if config.sym else config.bits)) / _stored(config.group_size)
    if config.overrides or config.algorithm.startswith("k_quant"):
        return
    if config.bits_per_weight is not None and config.bits_per_weight < floor:
        ctx.problem(
            f"bits_per_weight is {config.bits_per_weight}; {config.bits} bits in groups of "
            f"{_stored(config.group_size)} take {floor:.3g}.",
            "Raise it, or lower bits.",
            option="bits_per_weight",
        )
    least = _size(model, facts, config) if model.size else 0
    if config.max_size is not None and parse_size(config.max_size) < least * (1 - _UNSURE):
        ctx.problem(
            f"max_size is {config.max_size}, and with every module at {config.bits} bits the model takes "
            f"about {least / 1e6:,.0f} MB.",
            "Raise max_size, or lower bits.",
            option="max_size",
        )


def _check_model(model: ModelFacts, ctx: PlanContext, *, layered: bool) -> None:
    """layered: it has to be run layer by layer."""
    facts = ModelConfig(model.config)
    if facts.other_kind:
        ctx.problem(f"The model is {facts.other_kind}; the quantizers take causal language models.")
    elif not facts.family.quantizable:
        ctx.problem(
            f"The projections of models of type {facts.model_type} are not known, or stored as (in, out): "
            "the quantizers cannot take them.",
            "Leave the model in float16.",
        )
    elif layered and not facts.family.layered:
        ctx.problem(
            f"Models of type {facts.model_type} cannot be run layer by layer here.",
            "Use a quantizer that needs no data: Rtn, KQuant or Hqq.",
        )
    if method := facts.quant_method:
        ctx.problem(
            f"The model is already quantized (by {method}).", "Give the float model to this step, or drop it."
        )


def _check_widths(facts: ModelConfig, ctx: PlanContext) -> None:
    for key in ("hidden_size", "intermediate_size"):
        if (width := facts.number(key)) % SMALLEST_GROUP:
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
