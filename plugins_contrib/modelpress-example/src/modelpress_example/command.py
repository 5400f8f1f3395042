"""The command: `modelpress bigram FOLDER TEXT`. Imported when it is used, or its help is asked for."""

from __future__ import annotations

from pathlib import Path

import click

from modelpress.api import Registry, find_artifact, json_option, print_json

from .files import read_counts


@click.command("bigram")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("text")
@click.option("-n", "--letters", type=click.IntRange(min=1), default=20, help="How many letters to add.")
@json_option
def command(folder: Path, text: str, letters: int, as_json: bool) -> None:
    """Continue TEXT with the model in FOLDER: a bigram model, or a run's output folder."""
    counts = read_counts(find_artifact(folder, Registry.load()).path)
    answer = text
    for _ in range(letters):
        row = counts.get(answer[-1:], {})
        if not row:
            break
        answer += max(sorted(row), key=lambda letter: row[letter])
    if as_json:
        print_json({"text": answer})
    else:
        click.echo(answer)
