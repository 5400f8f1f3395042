"""The passes that need no data. No model is built, transformers is not imported."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from modelpress.api import Artifact, PassContext
from modelpress_plugins.grids.grid import Grid
from modelpress_plugins.grids.stream import Report, Rounder, stream_model
from modelpress_plugins.grids.targets import WHOLE_ROW, Choice
from modelpress_plugins.hf.files import meta_beside_tokenizer
from modelpress_plugins.quantize.algorithms.code import code_of, own_options
from modelpress_plugins.quantize.config import GridOptions, QuantizerConfig
from modelpress_plugins.quantize.marks import Marks, marked


def quantize(model: Artifact, config: QuantizerConfig, ctx: PassContext) -> Artifact:
    """For every algorithm that needs no data."""
    source, marks = marked(model)
    choice = choice_of(config, marks)
    tell_marks(config, marks, ctx)
    rounder: Rounder = partial(code_of(config.row), **own_options(config))
    report = stream_model(source, ctx.out, choice, rounder, config.row.key, ctx.progress, marks.overrides)
    tell(report, choice, ctx)
    return ctx.artifact("hf-model", meta=meta_beside_tokenizer(source.meta))


def choice_of(config: GridOptions, marks: Marks | None = None) -> Choice:
    """What a quantizer does: its options, with the marks that the model has. An override of the user's counts
    for more than a mark, a mark for more than what the options say for all."""
    marks = marks or Marks()
    given = {"bits": config.bits, "group_size": config.group_size, "symmetric": config.sym, **marks.default}
    chosen = Choice(
        grid=Grid(int(given["bits"]), int(given["group_size"]), bool(given["symmetric"])),
        lm_head=config.lm_head,
        embeds=isinstance(config, QuantizerConfig) and config.embeds,
        overrides={name: override.said() for name, override in config.overrides.items()},
        excluded=tuple(config.modules_to_not_convert or ()),
    )
    merged = {module: {**mark, **chosen.given_for(module)} for module, mark in marks.overrides.items()}
    return replace(chosen, overrides={**merged, **chosen.overrides, **merged})


def tell_marks(config: GridOptions, marks: Marks, ctx: PassContext) -> None:
    """What the marks say for all modules counts for more than the options: tell where the two differ."""
    wanted = {"bits": config.bits, "group_size": config.group_size, "symmetric": config.sym}
    differing = [name for name, value in marks.default.items() if wanted[name] != value]
    if differing:
        told, asked = (", ".join(f"{n} {given[n]}" for n in differing) for given in (marks.default, wanted))
        ctx.note(f"As marked by SelectiveMixedPrecision: {told}; the options of this step say {asked}.")


def tell(report: Report, choice: Choice, ctx: PassContext) -> None:
    """Put what was done into the run record, and say what the user did not ask for."""
    ctx.report("quantized_modules", report.modules)
    ctx.report("bits_per_weight", round(report.bits_per_weight, 4))
    if choice.embeds and not report.shares_embedding:
        ctx.note(
            "The input embedding stays in float, in spite of `embeds`: "
            + (
                "the output layer, whose codes it would use, is not quantized."
                if report.tied
                else "the builder of onnxruntime-genai reads it as floats where it is a table of its own."
            )
        )
    if report.smaller_groups and choice.grid.group_size != WHOLE_ROW:
        ctx.note(
            f"{len(report.smaller_groups)} modules got a smaller group, as the chosen one does not divide "
            f"their inputs: {', '.join(report.smaller_groups[:3])} …"
        )
    if report.dropped:
        ctx.note(
            f"{len(report.dropped)} tensors are no part of the model and were left out: "
            f"{', '.join(report.dropped[:3])} …"
        )
