"""`modelpress passes`: which passes there are, and what each one takes."""

from __future__ import annotations

from typing import Any

import click

from modelpress.cli.lazy import OpenGroup
from modelpress.cli.text import examples, json_option, page_width, print_json, print_table, say
from modelpress.registry import Registered, Registry
from modelpress.specs import PassSpec


@click.group("passes", cls=OpenGroup, short_help="List passes; show one and its options.")
def command() -> None:
    """What can be done to a model."""


@command.command("list", epilog=examples("modelpress passes list --json"))
@json_option
def list_passes(as_json: bool) -> None:
    """All passes: what they take, what they give."""
    found = sorted(Registry.load().all(PassSpec), key=lambda entry: entry.spec.name.lower())
    if as_json:
        print_json([_facts(entry) for entry in found])
        return
    print_table(
        ("PASS", "TAKES", "GIVES", "PLUGIN", "WHAT IT DOES"),
        [
            (
                entry.spec.name,
                " ".join(entry.spec.accepts),
                entry.spec.produces,
                entry.plugin,
                entry.spec.summary,
            )
            for entry in found
        ],
    )


@command.command(epilog=examples("modelpress passes show LoRA"))
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """One pass, with its options."""
    # Only here: reading options needs pydantic, and a list of passes must not.
    from modelpress.cli.option_facts import option_facts, print_options  # noqa: PLC0415

    entry = Registry.load().find(PassSpec, name)
    schema = entry.resolve(entry.spec.config).model_json_schema()
    if as_json:
        print_json({**_facts(entry), "options": schema})
        return
    _print_facts(entry)
    print_options(option_facts(schema))


@command.command(epilog=examples("modelpress passes schema LoRA > lora.schema.json"))
@click.argument("name")
def schema(name: str) -> None:
    """JSON Schema of the options of one pass."""
    entry = Registry.load().find(PassSpec, name)
    print_json(entry.resolve(entry.spec.config).model_json_schema())


def _facts(entry: Registered[PassSpec]) -> dict[str, Any]:
    spec = entry.spec
    return {
        "name": spec.name,
        "summary": spec.summary,
        "accepts": list(spec.accepts),
        "produces": spec.produces,
        "devices": list(spec.devices),
        "requires": list(spec.requires),
        "extra": spec.extra,
        "version": spec.version,
        "renames": [{"old": r.old, "new": r.new, "why": r.why} for r in spec.renames],
        "plugin": entry.plugin,
        "distribution": entry.distribution,
        "distribution_version": entry.version,
    }


def _print_facts(entry: Registered[PassSpec]) -> None:
    spec = entry.spec
    say(f"{spec.name}: {spec.summary}\n")
    needs = ", ".join(spec.requires) or "nothing more"
    install = f" (pip install '{entry.distribution}[{spec.extra}]')" if spec.extra else ""
    old = [f"{rename.old} (now {rename.new})" for rename in spec.renames if rename.new]
    gone = [rename.old for rename in spec.renames if not rename.new]
    if gone:
        old.append(f"and {len(gone)} that have no meaning any more (--json lists them)")
    for label, value in (
        ("takes", " or ".join(spec.accepts)),
        ("gives", "the format it took" if spec.produces == "same" else spec.produces),
        ("runs on", ", ".join(spec.devices)),
        ("needs", needs + install),
        ("from", f"{entry.distribution} {entry.version}, plugin {entry.plugin}"),
        ("old names", ", ".join(old)),
    ):
        if value:
            click.echo(click.wrap_text(f"{label:<10} {value}", page_width(), "  ", " " * 13))
