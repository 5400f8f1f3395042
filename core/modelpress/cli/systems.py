"""`modelpress systems`: kinds of places where work can run."""

from __future__ import annotations

import click

from modelpress.cli.text import examples, json_option, print_json, print_table
from modelpress.registry import Registry
from modelpress.specs import SystemSpec


@click.group("systems", short_help="List the kinds of places where work runs.")
def command() -> None:
    """Where work runs."""


@command.command("list", epilog=examples("modelpress systems list"))
@json_option
def list_systems(as_json: bool) -> None:
    """All kinds of systems that a workflow may name as `type`."""
    found = sorted(Registry.load().all(SystemSpec), key=lambda entry: entry.spec.name.lower())
    if as_json:
        print_json(
            [
                {
                    "name": entry.spec.name,
                    "summary": entry.spec.summary,
                    "requires": list(entry.spec.requires),
                    "extra": entry.spec.extra,
                    "plugin": entry.plugin,
                    "distribution": entry.distribution,
                }
                for entry in found
            ]
        )
        return
    print_table(("SYSTEM", "PLUGIN", "WHAT IT IS"), [(e.spec.name, e.plugin, e.spec.summary) for e in found])
