"""Text with columns in braces: `### Text: {phrase}`. Light: used by the plan and by the worker alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Column:
    """A placeholder: the name of a column, with any characters but braces."""

    name: str


@dataclass(frozen=True, slots=True)
class Template:
    """Literal text and placeholders, in order."""

    parts: tuple[str | Column, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it names, each once, in order."""
        return tuple(dict.fromkeys(part.name for part in self.parts if isinstance(part, Column)))

    def fill(self, value: Callable[[str], str]) -> str:
        """The text, each placeholder replaced by value(column)."""
        return "".join(value(part.name) if isinstance(part, Column) else part for part in self.parts)

    def cut_at_answer(self) -> tuple[Template, Template, Template] | None:
        """(what comes before the last placeholder, that placeholder, the literal text after it).

        None when there is nothing before it, so that it could not be asked for.
        """
        places = [i for i, part in enumerate(self.parts) if isinstance(part, Column)]
        if not places or places[-1] == 0:
            return None
        last = places[-1]
        return (
            Template(self.parts[:last]),
            Template(self.parts[last : last + 1]),
            Template(self.parts[last + 1 :]),
        )


def parse_template(text: str) -> Template:
    """Read a template. `{{` and `}}` stand for the braces themselves; a lone brace stands for itself."""
    parts: list[str | Column] = []
    end = 0
    for match in _PIECE.finditer(text):
        _add(parts, text[end : match.start()])
        if match.group() in ("{{", "}}"):
            _add(parts, match.group()[0])
        else:
            parts.append(Column(match.group(1)))
        end = match.end()
    _add(parts, text[end:])
    return Template(tuple(parts))


def join_columns(columns: list[str]) -> Template:
    """The template of several text_cols: their texts with a blank between them."""
    parts: list[str | Column] = []
    for name in columns:
        if parts:
            parts.append(" ")
        parts.append(Column(name))
    return Template(tuple(parts))


def _add(parts: list[str | Column], text: str) -> None:
    if not text:
        return
    if parts and isinstance(parts[-1], str):
        parts[-1] += text
    else:
        parts.append(text)
