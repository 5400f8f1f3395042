"""Open the input model: find the folder, tell what is wrong, read what is known."""

from __future__ import annotations

from modelpress.api import ModelFacts, PlanContext, UserError

from .files import FILE, check
from .options import BigramModelOptions


def open_model(options: BigramModelOptions, ctx: PlanContext) -> ModelFacts | None:
    folder = ctx.folder / options.model_path
    try:
        check(folder)
    except UserError as error:
        ctx.problem(error.message, error.hint, option="model_path")
        return None
    return ModelFacts("bigram", path=folder, size=(folder / FILE).stat().st_size)
