"""Open a model for a metric, and refuse data that measures nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import cast

from modelpress.api import Artifact, LoadedModel, PassContext, TextModel, UserError


@contextmanager
def opened(model: Artifact, ctx: PassContext) -> Iterator[TextModel]:
    """The model in its runtime, closed afterwards. Raises UserError when it is no language model."""
    with closing(ctx.load(model)) as loaded:
        yield as_text(loaded, model)


def as_text(loaded: LoadedModel, model: Artifact) -> TextModel:
    """Raises UserError when it is no language model."""
    if not hasattr(loaded, "generate") or not hasattr(loaded, "logits"):
        raise UserError(f"A model of format {model.format} gives no text, so this metric cannot measure it.")
    return cast(TextModel, loaded)


def no_data(name: str, what: str) -> UserError:
    """The data config gave nothing to measure with."""
    return UserError(
        f"The data config {name!r} has no {what} to measure with.",
        "Look at what it gives: modelpress data preview.",
    )
