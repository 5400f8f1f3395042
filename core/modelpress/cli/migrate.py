"""`modelpress migrate OLD NEW`: rewrite an older workflow in today's form."""

from __future__ import annotations

from pathlib import Path

import click

from modelpress.cli.text import examples, say
from modelpress.config.migrate import migrate
from modelpress.registry import Registry


@click.command("migrate", epilog=examples("modelpress migrate olive-config.json workflow.yaml"))
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Write over NEW when it exists.")
def command(old: Path, new: Path, force: bool) -> None:
    """Read OLD (any form, YAML or JSON), write NEW in today's form, and tell every change."""
    for note in migrate(old, new, Registry.load(), overwrite=force):
        say(f"note: {note}", "      ")
    click.echo(f"{new} is written.")
