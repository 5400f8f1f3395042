"""How the command line writes: tables, running text, JSON. Aligned on a terminal, uncut when piped."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence

import click


def fold(name: str) -> str:
    """A name without what people leave out or change: case, `-` and `_`."""
    return name.lower().replace("-", "").replace("_", "")


def say(text: str, indent: str = "") -> None:
    """Write running text; on a terminal its lines break between words, the further ones indented."""
    click.echo(click.wrap_text(text, page_width(), "", indent) if on_terminal() else text)


def on_terminal() -> bool:
    """Whether people see stdout directly."""
    return sys.stdout.isatty()


def page_width() -> int:
    """Columns for running text: those of the terminal, 100 at most."""
    return min(shutil.get_terminal_size().columns, 100) if on_terminal() else 100


def print_json(value: object) -> None:
    """Write JSON for programs: indented, in UTF-8, keys in the order given."""
    import json  # noqa: PLC0415  a table is drawn without it

    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Write aligned columns.

    On a terminal the last column is cut to fit, and where that leaves too little of it, each row becomes
    a small paragraph. Piped, nothing is cut. right: headings of the columns that are flush right.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(header), *cells]) for i in range(len(header))]
    room = shutil.get_terminal_size().columns if on_terminal() else sys.maxsize
    before_last = sum(widths[:-1]) + 2 * (len(widths) - 1)
    if before_last + min(widths[-1], 24) > room:
        _print_paragraphs(header, cells, room)
        return
    for row_number, row in enumerate([list(header), *cells]):
        padded = [
            cell.rjust(width) if heading in right else cell.ljust(width)
            for cell, width, heading in zip(row, widths, header, strict=True)
        ]
        padded[-1] = cut(padded[-1].rstrip(), room - before_last)
        line = "  ".join(padded).rstrip()
        click.echo(click.style(line, bold=True) if row_number == 0 else line)


def cut(text: str, width: int) -> str:
    """The text, with its end replaced by … where it is longer than width."""
    return text if len(text) <= width else text[: max(width - 1, 0)].rstrip() + "…"


def _print_paragraphs(header: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> None:
    for row in rows:
        click.secho(cut(row[0], room), bold=True)
        for heading, cell in zip(header[1:], row[1:], strict=True):
            if cell:
                text = f"{heading.lower()}: {cell}"
                click.echo(click.wrap_text(text, room, initial_indent="  ", subsequent_indent="    "))


json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")


def examples(*lines: str) -> str:
    """An epilog for --help: each example on a line of its own (click's `\\b` keeps them apart)."""
    heading = "Examples:" if len(lines) > 1 else "Example:"
    return "\n".join(["\b", heading, *(f"  {line}" for line in lines)])
