"""The pass and its plan. Neither needs a library, so that both may stand in one module."""

from __future__ import annotations

from dataclasses import replace

from modelpress.api import Artifact, Meta, ModelFacts, PassContext, PassError, PlanContext

from .files import read_counts, write_counts
from .options import PruneOptions


def plan(model: ModelFacts, options: PruneOptions, ctx: PlanContext) -> ModelFacts:
    if options.min_count == 1:
        ctx.note("min_count is 1: nothing will be dropped.")
    return replace(model, meta=_meta(model.meta, options), size=0)


def prune(model: Artifact, options: PruneOptions, ctx: PassContext) -> Artifact:
    counts = read_counts(model.path)
    kept: dict[str, dict[str, int]] = {}
    for done, (first, row) in enumerate(counts.items(), start=1):
        left = {second: count for second, count in row.items() if count >= options.min_count}
        if left:
            kept[first] = left
        ctx.progress(done, len(counts), "letters")
    if not kept:
        raise PassError(
            f"No pair was seen {options.min_count} times.", "Lower min_count, or count a longer text."
        )
    ctx.report("pairs", sum(map(len, kept.values())))
    write_counts(ctx.out, kept)
    return ctx.artifact("bigram", meta=_meta(model.meta, options))


def _meta(before: Meta, options: PruneOptions) -> Meta:
    """What those after it may want to know."""
    return replace(before, extra={**before.extra, "min_count": options.min_count})
