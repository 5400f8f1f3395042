"""`modelpress plugins new`: a plugin of one's own, from nothing."""

from __future__ import annotations

from pathlib import Path

import click

from modelpress.cli.text import examples
from modelpress.scaffold import KINDS, write_plugin


@click.command(
    "new", epilog=examples("modelpress plugins new pass AcmePrune", "modelpress plugins new metric acme_size")
)
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.argument("name")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Where to write it. Left out: modelpress-NAME, here."
)
def command(kind: str, name: str, folder: Path | None) -> None:
    """Write a plugin that brings one KIND called NAME: code that works, its contract under test, CI.

    It is a distribution of its own, installed with `pip install -e`.
    """
    target, written = write_plugin(kind, name, folder)
    for path in written:
        click.echo(f"  {path}")
    steps = (
        f"cd {target}",
        "pip install -e '.[test]'",
        f"modelpress {KINDS[kind]} show {name}",
        "pytest",
    )
    click.echo("\n".join(["\nNext:", *(f"  {step}" for step in steps)]))
