"""The passes that need no data: Rtn, KQuant, Hqq, QuaRot. No model is built, transformers is not imported."""

from __future__ import annotations

from collections.abc import Mapping

from modelpress.api import Artifact, PassContext
from modelpress_plugins.grids.grid import Grid
from modelpress_plugins.grids.nearest import round_to_nearest
from modelpress_plugins.grids.stream import Report, Rounder, stream_model
from modelpress_plugins.grids.targets import Choice
from modelpress_plugins.quantize.algorithms.hqq import half_quadratic
from modelpress_plugins.quantize.algorithms.kquant import k_quant
from modelpress_plugins.quantize.config import (
    HqqConfig,
    KQuantConfig,
    QuantizerConfig,
    QuaRotConfig,
    RtnConfig,
)
from modelpress_plugins.quantize.quarot import rotate_model

ROUNDERS: Mapping[str, Rounder] = {"rtn": round_to_nearest, "kquant": k_quant, "hqq": half_quadratic}
"""The algorithms that need no data."""


def rtn(model: Artifact, config: RtnConfig, ctx: PassContext) -> Artifact:
    return _without_data(model, config, ctx, "rtn")


def kquant(model: Artifact, config: KQuantConfig, ctx: PassContext) -> Artifact:
    return _without_data(model, config, ctx, "kquant")


def hqq(model: Artifact, config: HqqConfig, ctx: PassContext) -> Artifact:
    return _without_data(model, config, ctx, "hqq")


def quarot(model: Artifact, config: QuaRotConfig, ctx: PassContext) -> Artifact:
    rotate_model(model.path, ctx.out, config.rotate_mode, config.seed, ctx.progress)
    return ctx.artifact("hf-model", meta=model.meta)


def choice_of(config: QuantizerConfig) -> Choice:
    """The options that all quantizers have."""
    return Choice(
        grid=Grid(config.bits, config.group_size, config.sym),
        lm_head=config.lm_head,
        overrides={
            name: {k: v for k, v in given.canonical().items() if v is not None}
            for name, given in config.overrides.items()
        },
        excluded=tuple(config.modules_to_not_convert or ()),
    )


def tell(report: Report, ctx: PassContext) -> None:
    """Put what was done into the run record, and say what the user did not ask for."""
    ctx.report("quantized_modules", report.modules)
    ctx.report("bits_per_weight", round(report.bits_per_weight, 4))
    if report.smaller_groups:
        ctx.note(
            f"{len(report.smaller_groups)} modules got a smaller group, as the chosen one does not divide "
            f"their inputs: {', '.join(report.smaller_groups[:3])} …"
        )
    if report.dropped:
        ctx.note(
            f"{len(report.dropped)} tensors are no part of the model and were left out: "
            f"{', '.join(report.dropped[:3])} …"
        )


def _without_data(model: Artifact, config: QuantizerConfig, ctx: PassContext, name: str) -> Artifact:
    report = stream_model(model.path, ctx.out, choice_of(config), ROUNDERS[name], name, ctx.progress)
    tell(report, ctx)
    return ctx.artifact("hf-model", meta=model.meta)
