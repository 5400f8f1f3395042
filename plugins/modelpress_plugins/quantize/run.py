"""The passes that need no data, and QuaRot. No model is built, transformers is not imported."""

from __future__ import annotations

from functools import partial

from modelpress.api import Artifact, PassContext
from modelpress_plugins.grids.grid import Grid
from modelpress_plugins.grids.stream import Report, Rounder, stream_model
from modelpress_plugins.grids.targets import Choice
from modelpress_plugins.quantize.algorithms.code import code_of, own_options
from modelpress_plugins.quantize.config import QuantizerConfig, QuaRotConfig
from modelpress_plugins.quantize.quarot import rotate_model


def quantize(model: Artifact, config: QuantizerConfig, ctx: PassContext) -> Artifact:
    """For every algorithm that needs no data."""
    rounder: Rounder = partial(code_of(config.row), **own_options(config))
    report = stream_model(model.path, ctx.out, choice_of(config), rounder, config.row.key, ctx.progress)
    tell(report, ctx)
    return ctx.artifact("hf-model", meta=model.meta)


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
