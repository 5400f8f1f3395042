"""From a row to its text: which part asks and which part answers.

One Layout for each way of writing a row down: a template, a function, a pair, a chat.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from modelpress.api import UserError
from modelpress_plugins.huggingface.data_config import HuggingfaceOptions, PreProcess
from modelpress_plugins.huggingface.file_records import Number
from modelpress_plugins.huggingface.pair_formats import PAIR_FORMATS
from modelpress_plugins.huggingface.templates import Template, join_columns, parse_template
from modelpress_plugins.huggingface.user_code import load_function

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """What is asked, and what is answered. tail is what ends the answer without being part of it
    (`<|end|>`); answer is None where it is not known which part that is."""

    prompt: str
    answer: str | None = None
    tail: str = ""

    @property
    def text(self) -> str:
        return self.prompt + (self.answer or "") + self.tail


class Layout(Protocol):
    """How a row is written down. `place` names the row in errors, e.g. `row 17 of train.json`."""

    def turns(self, row: Row, place: str, tokenizer: Any) -> list[Turn]:
        """The row's text: one turn, or those of a chat. Raises UserError when a column is missing."""

    def content(self, row: Row, place: str) -> str:
        """What makes two rows the same."""


def make_layout(options: HuggingfaceOptions) -> Layout:
    """The layout that the options ask for. Runs the user's script, where one is named."""
    pre = options.pre_process_data_config
    if pre.chat_template:
        return ChatLayout(pre.message_col, pre.chat_template if isinstance(pre.chat_template, str) else None)
    if pre.text_formatting_func:
        script = options.user_script if isinstance(options.user_script, str) else None
        folder = options.script_dir if isinstance(options.script_dir, str) else None
        return FunctionLayout(
            load_function(pre.text_formatting_func, script, folder), pre.text_formatting_func
        )
    if pre.dataset_type == "pair":
        return _pair_layout(pre)
    return TemplateLayout(corpus_template(pre))


def corpus_template(pre: PreProcess) -> Template:
    """The template of a corpus: as written, or made of text_cols."""
    if pre.text_template is not None:
        return parse_template(pre.text_template)
    return join_columns(text_columns(pre) or ["text"])


def text_columns(pre: PreProcess) -> list[str]:
    """text_cols as a list; empty when not given."""
    return [pre.text_cols] if isinstance(pre.text_cols, str) else list(pre.text_cols or ())


def pair_templates(pre: PreProcess) -> tuple[Template, Template]:
    """(input, output) of a pair whose format is `default` or `custom`."""
    if pre.pair_format == "default":
        return join_columns(["input"]), join_columns(["output"])
    return (
        parse_template(pre.input_template)
        if pre.input_template
        else join_columns([pre.input_col or "input"]),
        parse_template(pre.output_template)
        if pre.output_template
        else join_columns([pre.output_col or "output"]),
    )


def cell(row: Row, column: str, place: str) -> str:
    """A column's text: as the file has it, true and false as JSON writes them. Raises UserError for what is
    missing or no text."""
    value = row.get(column)
    if isinstance(value, str):
        return value
    if isinstance(value, Number):
        return value.text
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if value is None:
        raise UserError(f"{place} has no {column!r}.", f"It has: {_names(row)}.")
    raise UserError(f"{place}: {column!r} should be text, but is a {type(value).__name__}.")


def _names(row: Row) -> str:
    """The columns that have a value. (A column that other rows have is there, but None.)"""
    return ", ".join(repr(name) for name in sorted(row) if row[name] is not None) or "nothing"


@dataclass(frozen=True, slots=True)
class TemplateLayout:
    """A row of a corpus. The last placeholder is the answer, where something comes before it."""

    template: Template

    def turns(self, row: Row, place: str, tokenizer: Any) -> list[Turn]:
        cut = self.template.cut_at_answer()
        if cut is None:
            return [Turn(self.template.fill(lambda column: cell(row, column, place)))]
        prompt, answer, tail = (part.fill(lambda column: cell(row, column, place)) for part in cut)
        return [Turn(prompt, answer, tail)]

    def content(self, row: Row, place: str) -> str:
        return self.template.fill(lambda column: cell(row, column, place))

    @property
    def prompt(self) -> str | None:
        """The text up to the answer, placeholders in braces."""
        cut = self.template.cut_at_answer()
        return cut[0].fill("{{{}}}".format) if cut else None


@dataclass(frozen=True, slots=True)
class PairLayout:
    """A row of two columns or two templates."""

    source: Template
    target: Template

    def turns(self, row: Row, place: str, tokenizer: Any) -> list[Turn]:
        source, target = (
            template.fill(lambda column: cell(row, column, place)) for template in (self.source, self.target)
        )
        return [Turn(source, target)]

    def content(self, row: Row, place: str) -> str:
        return self.turns(row, place, None)[0].text

    @property
    def prompt(self) -> str | None:
        """The source, placeholders in braces."""
        return self.source.fill("{{{}}}".format)


@dataclass(frozen=True, slots=True)
class FunctionLayout:
    """A row as a function writes it: its text, or (prompt, answer)."""

    function: Callable[[dict[str, Any]], Any]
    name: str

    def turns(self, row: Row, place: str, tokenizer: Any) -> list[Turn]:
        try:
            made = self.function(dict(row))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise UserError(f"{place}: {self.name} failed with {type(error).__name__}: {error}.") from error
        if isinstance(made, str):
            return [Turn(made)]
        if isinstance(made, list | tuple) and len(made) == 2 and all(isinstance(part, str) for part in made):
            return [Turn(made[0], made[1])]
        raise UserError(
            f"{place}: {self.name} gave a {type(made).__name__}.", "It should give text, or (prompt, answer)."
        )

    def content(self, row: Row, place: str) -> str:
        return self.turns(row, place, None)[0].text


@dataclass(frozen=True, slots=True)
class ChatLayout:
    """A list of messages, written by a chat template. The assistant's turns are the answers."""

    column: str
    template: str | None

    def turns(self, row: Row, place: str, tokenizer: Any) -> list[Turn]:
        messages = self._messages(row, place)
        if self.template is None and not getattr(tokenizer, "chat_template", None):
            raise UserError(
                "The model's tokenizer has no chat template.", "Give the template itself as chat_template."
            )
        whole = self._write(tokenizer, messages)
        turns: list[Turn] = []
        done = 0
        for i, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            prompt = self._write(tokenizer, messages[:i], ask=True)
            answered = self._write(tokenizer, messages[: i + 1]) if i + 1 < len(messages) else whole
            if not (whole.startswith(prompt) and whole.startswith(answered) and len(prompt) >= done):
                raise UserError(
                    f"{place}: the chat template writes turn {i + 1} differently once the chat goes on, so "
                    "the loss cannot be put on the assistant's turns.",
                    "Let each row end with the one answer that is to be learned, or use another template.",
                )
            turns.append(_chat_turn(whole[done : len(prompt)], whole[len(prompt) : len(answered)], message))
            done = len(answered)
        if done < len(whole):
            turns.append(Turn(whole[done:]))
        return turns

    def content(self, row: Row, place: str) -> str:
        return json.dumps(self._messages(row, place), sort_keys=True)

    def _write(self, tokenizer: Any, messages: list[dict[str, Any]], *, ask: bool = False) -> str:
        text: str = tokenizer.apply_chat_template(
            messages, chat_template=self.template, tokenize=False, add_generation_prompt=ask
        )
        return text

    def _messages(self, row: Row, place: str) -> list[dict[str, Any]]:
        value = row.get(self.column)
        if value is None:
            raise UserError(f"{place} has no {self.column!r}.", f"It has: {_names(row)}.")
        if not isinstance(value, list) or not all(isinstance(m, Mapping) and m.get("role") for m in value):
            raise UserError(f"{place}: {self.column!r} should be a list of {{role, content}}.")
        # Rows of one file share one schema, so a key that only some messages have is None in the others.
        return [{key: part for key, part in message.items() if part is not None} for message in value]


def _chat_turn(prompt: str, answered: str, message: Mapping[str, Any]) -> Turn:
    content = message.get("content")
    if isinstance(content, str) and answered.startswith(content):
        return Turn(prompt, content, answered[len(content) :])
    return Turn(prompt, answered)


def _pair_layout(pre: PreProcess) -> Layout:
    if pre.pair_format in ("default", "custom"):
        return PairLayout(*pair_templates(pre))
    return FunctionLayout(PAIR_FORMATS[pre.pair_format], f"pair_format {pre.pair_format}")
