"""From a row to its text: which part asks and which part answers.

One Layout for each way of writing a row down: a template, a function, a pair; chats are in chat.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from modelpress.api import UserError
from modelpress_plugins.hf.ids import HfTokenizer
from modelpress_plugins.huggingface.data_config import PreProcess
from modelpress_plugins.huggingface.file_records import Number
from modelpress_plugins.huggingface.templates import Template, join_columns, parse_template

Row = Mapping[str, object]


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

    def texts(self, row: Row, place: str, tokenizer: HfTokenizer | None) -> list[list[Turn]]:
        """The row's texts, most often one: a single turn, or those of a chat. Raises UserError when a column
        is missing."""

    def content(self, row: Row, place: str) -> str:
        """What makes two rows the same."""

    @property
    def identity(self) -> str:
        """What decides the text that it writes; empty where that cannot be told."""


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
        raise missing_column(row, column, place)
    raise UserError(f"{place}: {column!r} should be text, but is a {type(value).__name__}.")


def missing_column(row: Row, column: str, place: str) -> UserError:
    """That a row lacks a column. (In a typed file, a column that other rows have is there, but None.)"""
    names = ", ".join(repr(name) for name in sorted(row) if row[name] is not None) or "nothing"
    return UserError(f"{place} has no {column!r}.", f"It has: {names}.")


@dataclass(frozen=True, slots=True)
class TemplateLayout:
    """A row of a corpus. The last placeholder is the answer, where something comes before it."""

    template: Template

    def texts(self, row: Row, place: str, tokenizer: HfTokenizer | None) -> list[list[Turn]]:
        cut = self.template.cut_at_answer()
        if cut is None:
            return [[Turn(self.template.fill(lambda column: cell(row, column, place)))]]
        prompt, answer, tail = (part.fill(lambda column: cell(row, column, place)) for part in cut)
        return [[Turn(prompt, answer, tail)]]

    @property
    def identity(self) -> str:
        return repr(self)

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

    def texts(self, row: Row, place: str, tokenizer: HfTokenizer | None) -> list[list[Turn]]:
        source, target = (
            template.fill(lambda column: cell(row, column, place)) for template in (self.source, self.target)
        )
        return [[Turn(source, target)]]

    @property
    def identity(self) -> str:
        return repr(self)

    def content(self, row: Row, place: str) -> str:
        return self.texts(row, place, None)[0][0].text

    @property
    def prompt(self) -> str | None:
        """The source, placeholders in braces."""
        return self.source.fill("{{{}}}".format)


@dataclass(frozen=True, slots=True)
class FunctionLayout:
    """A row as a function writes it: its text, or (prompt, answer)."""

    function: Callable[[dict[str, object]], object]
    name: str
    identity: str = ""

    def texts(self, row: Row, place: str, tokenizer: HfTokenizer | None) -> list[list[Turn]]:
        try:
            made = self.function(dict(row))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise UserError(f"{place}: {self.name} failed with {type(error).__name__}: {error}.") from error
        if isinstance(made, str):
            return [[Turn(made)]]
        if isinstance(made, list | tuple) and len(made) == 2 and all(isinstance(part, str) for part in made):
            return [[Turn(made[0], made[1])]]
        raise UserError(
            f"{place}: {self.name} gave a {type(made).__name__}.", "It should give text, or (prompt, answer)."
        )

    def content(self, row: Row, place: str) -> str:
        return self.texts(row, place, None)[0][0].text
