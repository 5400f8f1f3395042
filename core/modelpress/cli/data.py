"""`modelpress data`: kinds of data sources. What shows their content comes from plugins."""

from __future__ import annotations

import click

from modelpress.cli.lazy import OpenGroup
from modelpress.cli.listing import print_kinds
from modelpress.cli.text import examples, json_option
from modelpress.specs import DataContainerSpec


@click.group("data", cls=OpenGroup, short_help="List data containers; preview samples.")
def command() -> None:
    """Where samples come from."""


@command.command("list", epilog=examples("modelpress data list"))
@json_option
def list_containers(as_json: bool) -> None:
    """All kinds of data containers that a workflow may name as `type`."""
    print_kinds(DataContainerSpec, ("CONTAINER", "PLUGIN", "WHAT IT READS"), as_json)
