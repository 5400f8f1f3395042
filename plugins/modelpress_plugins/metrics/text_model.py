"""Open a model for a metric, and refuse data that measures nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import cast

from modelpress.api import Artifact, PassContext, TextModel, UserError


@contextmanager
def opened(model: Artifact, ctx: PassContext) -> Iterator[TextModel]:
    """The model in its runtime, closed afterwards. Raises UserError when it is no language model."""
    loaded = ctx.load(model)
    with closing(loaded):
        if not hasattr(loaded, "generate") or not hasattr(loaded, "logits"):
            raise UserError(
                f"A model of format {model.format} gives no text, so this metric cannot measure it."
            )
        yield cast(TextModel, loaded)


def prompt_ids(model: TextModel, prompt: str) -> list[int]:
    """The ids to go on from: special ids in front as the tokenizer adds them, none at the end.

    A prompt made by a chat template has its own beginning, which is not added twice.
    """
    tokenizer = model.tokenizer
    whole = bool(tokenizer.bos_token) and prompt.startswith(tokenizer.bos_token)
    ids = [int(i) for i in tokenizer(prompt, add_special_tokens=not whole)["input_ids"]]
    while len(ids) > 1 and ids[-1] == tokenizer.eos_token_id and not prompt.endswith(tokenizer.eos_token):
        ids.pop()
    return ids


def no_data(name: str, what: str) -> UserError:
    """The data config gave nothing to measure with."""
    return UserError(
        f"The data config {name!r} has no {what} to measure with.",
        "Look at what it gives: modelpress data preview.",
    )
