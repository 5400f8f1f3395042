"""Samples of a data config for `modelpress data preview`: opened as a pass would, marked by the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from modelpress.cli.text import on_terminal
from modelpress.context import NO_LOSS, Sample


@dataclass(frozen=True, slots=True)
class Shown:
    """A sample as text. parts: stretches of text, each with whether the loss covers it."""

    sample: Sample
    parts: Sequence[tuple[str, bool]]

    @staticmethod
    def of(sample: Sample, tokenizer: Any) -> Shown:
        """Decode a sample stretch by stretch, special tokens shown."""
        ids, labels = sample.input_ids, sample.labels
        parts: list[tuple[str, bool]] = []
        start, before = 0, ""
        for end in range(1, len(ids) + 1):
            covered = labels[start] != NO_LOSS
            if end < len(ids) and (labels[end] != NO_LOSS) == covered:
                continue
            # The difference to what came before: decoded alone, a word may lose the space before it.
            whole: str = tokenizer.decode(
                ids[:end], skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
            parts.append((whole[len(before) :], covered))
            start, before = end, whole
        return Shown(sample, parts)

    @property
    def tokens(self) -> int:
        return len(self.sample.input_ids)

    @property
    def loss_tokens(self) -> int:
        return sum(label != NO_LOSS for label in self.sample.labels)

    def marked(self, limit: int | None, *, color: bool | None = None) -> str:
        """The text with what the loss covers in colour or, without colour, in double brackets.

        limit: characters after which a long sample is cut; None shows it whole
        """
        in_color = colors() if color is None else color
        text, left = "", limit
        for part, covered in self.parts:
            shown = part if left is None else part[:left]
            if left is not None:
                left -= len(shown)
            if in_color:
                text += click.style(shown, fg="green", bold=True) if covered else click.style(shown, dim=True)
            else:
                text += f"[[{shown}]]" if covered else shown
            if len(shown) < len(part):
                return f"{text} … (--full shows it whole)"
        return text


def colors() -> bool:
    """Whether stdout shows colour."""
    context = click.get_current_context(silent=True)
    allowed = context.color if context else None
    return on_terminal() if allowed is None else allowed
