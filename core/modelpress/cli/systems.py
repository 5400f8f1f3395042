"""`modelpress systems`: kinds of places where work can run."""

from __future__ import annotations

import click

from modelpress.cli.lazy import OpenGroup
from modelpress.cli.listing import print_kinds
from modelpress.cli.text import examples, json_option
from modelpress.specs import SystemSpec


@click.group("systems", cls=OpenGroup, short_help="List the kinds of places where work runs.")
def command() -> None:
    """Where work runs."""


@command.command("list", epilog=examples("modelpress systems list"))
@json_option
def list_systems(as_json: bool) -> None:
    """All kinds of systems that a workflow may name as `type`."""
    print_kinds(SystemSpec, ("SYSTEM", "PLUGIN", "WHAT IT IS"), as_json)
