"""Chats: rows that are lists of messages. The assistant's turns are the answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from modelpress.api import UserError
from modelpress_plugins.hf.chat import Message, render_chat, takes_tools
from modelpress_plugins.hf.ids import HfTokenizer
from modelpress_plugins.huggingface.chat_messages import read_messages
from modelpress_plugins.huggingface.text import Row, Turn

_MARK = "\u2060modelpress\u2060here\u2060"
"""Stands for a message's content while its place is looked for: no template and no data have it."""


@dataclass(frozen=True, slots=True)
class ChatLayout:
    """A list of messages, written by a chat template.

    column: where the messages are; with `answer`, only the prompt's, and `answer` has the answer's
    tools:  the column that describes functions to the template, where a row has it
    """

    column: str
    template: str | None
    answer: str | None = None
    tools: str = "tools"

    def texts(self, row: Row, place: str, tokenizer: HfTokenizer | None) -> list[list[Turn]]:
        """One text where the template goes on writing a turn as it wrote it; else one for each answer, ending
        with it: so an answer always follows the very text that asks for it in use."""
        messages, tools = self._messages(row, place), self._tools(row, place, tokenizer)
        chat = _Chat(messages, tools, self.template, tokenizer, place)
        answers = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
        whole = chat.write(len(messages))
        if all(chat.end(whole, i) and whole.startswith(chat.asked(i)) for i in answers):
            return [chat.turns(whole, answers)]
        return [chat.until(i).turns(chat.write(i + 1), [i]) for i in answers]

    @property
    def identity(self) -> str:
        return repr(self)

    def content(self, row: Row, place: str) -> str:
        return json.dumps(self._messages(row, place), sort_keys=True)

    def _messages(self, row: Row, place: str) -> list[Message]:
        messages = read_messages(row, self.column, place)
        return messages + read_messages(row, self.answer, place) if self.answer else messages

    def _tools(self, row: Row, place: str, tokenizer: HfTokenizer | None) -> Sequence[object]:
        tools = row.get(self.tools)
        if isinstance(tools, str) and tools.strip():
            try:
                tools = json.loads(tools)
            except ValueError:
                raise UserError(f"{place}: {self.tools!r} is not valid JSON.") from None
        if not tools:
            return ()
        if not isinstance(tools, list):
            raise UserError(f"{place}: {self.tools!r} should be a list of tools.")
        if not takes_tools(tokenizer, self.template):
            raise UserError(
                f"{place} has {self.tools!r}, but the chat template has no place for them.",
                "Use a chat template that writes tools, or take the column out.",
            )
        return tools


@dataclass(frozen=True, slots=True)
class _Chat:
    messages: Sequence[Message]
    tools: Sequence[object]
    template: str | None
    tokenizer: HfTokenizer | None
    place: str

    def write(self, count: int, *, ask: bool = False, mark: int | None = None) -> str:
        """The first messages as text. mark: the message whose content is replaced by the mark."""
        messages = [
            {**message, "content": _MARK} if i == mark else message
            for i, message in enumerate(self.messages[:count])
        ]
        try:
            return render_chat(self.tokenizer, messages, template=self.template, ask=ask, tools=self.tools)
        except UserError as error:
            raise UserError(f"{self.place}: {error.message}", error.hint) from error

    def asked(self, index: int) -> str:
        """The text that asks for a message. A chat may begin with an answer: then what stands before it."""
        if index:
            return self.write(index, ask=True)
        return self.write(1, mark=0).partition(_MARK)[0]

    def until(self, index: int) -> _Chat:
        """The chat up to a message and with it."""
        return replace(self, messages=self.messages[: index + 1])

    def turns(self, whole: str, answers: Sequence[int]) -> list[Turn]:
        """`whole`, the text of all messages, cut at those answers."""
        turns: list[Turn] = []
        done = 0
        for index in answers:
            start, end = self._start(whole, index), self.end(whole, index)
            turns.append(_turn(whole[done:start], whole[start:end], self.messages[index]))
            done = end
        return [*turns, Turn(whole[done:])] if done < len(whole) else turns

    def end(self, whole: str, index: int) -> int:
        """Where in `whole` a message ends; 0 where the template writes it in another way now."""
        if index + 1 == len(self.messages):
            return len(whole)
        alone = self.write(index + 1)
        # Many templates close the whole text with the end token: that is no part of the turn.
        for text in (alone, alone.removesuffix((self.tokenizer.eos_token if self.tokenizer else None) or "")):
            if whole.startswith(text):
                return len(text)
        return 0

    def _start(self, whole: str, index: int) -> int:
        """Where in `whole` an answer begins: after the text that asks for it; where that is another (a
        template that asks for a thought first), with the message's own content."""
        asked = self.asked(index)
        if whole.startswith(asked):
            return len(asked)
        before, mark, _ = self.write(len(self.messages), mark=index).partition(_MARK)
        if not mark or not whole.startswith(before):
            raise UserError(
                f"{self.place}: message {index + 1} cannot be found in what the chat template writes, so the "
                "loss cannot be put on it.",
                "Use another chat template, or write the text with text_template.",
            )
        return len(before)


def _turn(prompt: str, answered: str, message: Message) -> Turn:
    content = message.get("content")
    for said in (content, content.strip()) if isinstance(content, str) else ():
        if answered.startswith(said):
            return Turn(prompt, said, answered[len(said) :])
    return Turn(prompt, answered)
