"""A chat as text: the one place that renders chat templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jinja2 import TemplateError

from modelpress.api import UserError
from modelpress_plugins.hf.ids import HfTokenizer
from modelpress_plugins.hf.limits import limited

Message = Mapping[str, object]
"""{role, content, …} as chat templates take it."""


def render_chat(
    tokenizer: HfTokenizer | None,
    messages: Sequence[Message],
    *,
    template: str | None = None,
    ask: bool = False,
    tools: Sequence[object] | None = None,
) -> str:
    """The messages as the template writes them; the tokenizer's own where none is given.

    ask: end with what begins an answer. Raises UserError with the template's own words when it refuses.
    """
    if tokenizer is None:
        raise UserError("A chat is written by a model's tokenizer, and there is none.")
    if template is None and not getattr(tokenizer, "chat_template", None):
        raise UserError(
            "The model's tokenizer has no chat template.", "Give the template itself as chat_template."
        )
    try:
        return limited(
            lambda: tokenizer.apply_chat_template(
                list(messages),
                chat_template=template,
                tools=list(tools) if tools else None,
                tokenize=False,
                add_generation_prompt=ask,
            )
        )
    except (TemplateError, TypeError, ValueError, KeyError) as error:
        raise UserError(f"The chat template refuses the messages: {error}.") from error


def takes_tools(tokenizer: HfTokenizer | None, template: str | None) -> bool:
    """Whether a template has a place for tools."""
    found = template if template is not None else getattr(tokenizer, "chat_template", None)
    return "tools" in str(found)
