"""What a model is asked, turn by turn: each phrase by itself in a template, or all of a chat."""

from __future__ import annotations

from typing import Protocol

from modelpress.api import UserError
from modelpress_plugins.hf.ids import HfTokenizer
from modelpress_plugins.hf.prompt_code import PLACE


class Conversation(Protocol):
    def prompt(self, phrase: str) -> str:
        """The text that the model is to go on with."""

    def answered(self, phrase: str, answer: str) -> None:
        """A turn is over."""

    def forget(self) -> bool:
        """Leave out the oldest turn, where the model's context is full. False when there is none."""


class Single:
    """Each phrase by itself. template: with a place for it; empty when the phrase is the whole prompt."""

    def __init__(self, template: str) -> None:
        self._template = template

    def prompt(self, phrase: str) -> str:
        return fill(self._template, phrase) if self._template else phrase

    def answered(self, phrase: str, answer: str) -> None:
        """The next one does not hear of it."""

    def forget(self) -> bool:
        return False


class Chat:
    """All turns so far, as the tokenizer's chat template writes them."""

    def __init__(self, tokenizer: HfTokenizer, system_message: str | None) -> None:
        if not has_chat_template(tokenizer):
            raise UserError("The model's tokenizer has no chat template.", "Ask without --chat.")
        self._tokenizer = tokenizer
        self._system = [] if system_message is None else [_message("system", system_message)]
        self._turns: list[dict[str, str]] = []

    def prompt(self, phrase: str) -> str:
        # Only here: it takes transformers, which comes with the model.
        from modelpress_plugins.hf.chat import render_chat  # noqa: PLC0415

        messages = [*self._system, *self._turns, _message("user", phrase)]
        return render_chat(self._tokenizer, messages, ask=True)

    def answered(self, phrase: str, answer: str) -> None:
        self._turns += [_message("user", phrase), _message("assistant", answer)]

    def forget(self) -> bool:
        there = bool(self._turns)
        del self._turns[:2]
        return there


def has_chat_template(tokenizer: HfTokenizer) -> bool:
    return bool(getattr(tokenizer, "chat_template", None))


def fill(template: str, phrase: str) -> str:
    """The template with its placeholder replaced: `{}`, or the one `{name}` that is in it.

    Other braces are left alone. Raises UserError when there is no placeholder, or more than one.
    """
    names = {"{}"} if "{}" in template else set(PLACE.findall(template))
    if len(names) != 1:
        found = ", ".join(sorted(names)) or "none"
        raise UserError(
            f"The prompt template needs one placeholder and has {found}: {template!r}.",
            "Give another with --prompt-template, or the whole prompt with --raw.",
        )
    return template.replace(names.pop(), phrase)


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
