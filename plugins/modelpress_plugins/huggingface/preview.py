"""`modelpress data preview FILE NAME`: samples of a data config, opened as a pass would, the loss marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import click

from modelpress.api import (
    NO_LOSS,
    Registry,
    Sample,
    Setting,
    examples,
    json_option,
    on_terminal,
    open_data,
    plural,
    print_json,
    set_option,
)


@click.command("preview", epilog=examples("modelpress data preview workflow.yaml train -n 5"))
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("name")
@click.option(
    "-n", "--samples", type=click.IntRange(min=1), default=3, show_default=True, help="How many are shown."
)
@click.option("--model", type=click.Path(path_type=Path), help="Take the tokenizer of this folder.")
@click.option("--full", is_flag=True, help="Show long samples whole.")
@set_option
@json_option
def command(
    file: Path,
    name: str,
    samples: int,
    model: Path | None,
    full: bool,
    settings: tuple[Setting, ...],
    as_json: bool,
) -> None:
    """Show the first samples of the data config NAME, tokenized, as a pass would train on them.

    What the loss covers is in colour on a terminal, and in [[double brackets]] elsewhere.
    """
    source, tokenizer = open_data(file, name, Registry.load(), model=model, settings=settings)
    shown = [Shown.of(sample, tokenizer) for sample in islice(iter(source.samples(tokenizer)), samples)]
    if as_json:
        print_json([_as_json(sample) for sample in shown])
        return
    for number, sample in enumerate(shown, start=1):
        tokens = plural(sample.tokens, "token")
        click.secho(f"sample {number}: {tokens}, loss on {sample.loss_tokens}", bold=True)
        click.echo(f"{sample.marked(None if full else 2000)}\n")


def _as_json(sample: Shown) -> dict[str, object]:
    return {
        "tokens": sample.tokens,
        "loss_tokens": sample.loss_tokens,
        "text": sample.marked(None, color=False),
        "input_ids": sample.sample.input_ids,
        "labels": sample.sample.labels,
    }


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
