"""One thing that a plugin brings, told whole: for `show`, and for lists as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import click

from modelpress.cli.text import page_width, say
from modelpress.json_types import JSONSchema
from modelpress.registry import Registered
from modelpress.specs import Spec

_LABELS = {
    "accepts": "takes",
    "produces": "gives",
    "gives": "gives",
    "formats": "measures",
    "devices": "runs on",
    "targets": "builds for",
    "aliases": "other names",
}
"""Fields of specs that `show` tells as they are."""


def facts(entry: Registered[Spec]) -> dict[str, object]:
    """All that its spec says, and who brings it, as JSON values."""
    told: dict[str, object] = {}
    for field in fields(entry.spec):
        value = getattr(entry.spec, field.name)
        if field.name == "renames":
            value = [{"old": rename.old, "new": rename.new, "why": rename.why} for rename in value]
        told[field.name] = list(value) if isinstance(value, tuple) else value
    return {
        **told,
        "plugin": entry.plugin,
        "distribution": entry.distribution,
        "distribution_version": entry.version,
    }


def options_schema(entry: Registered[Spec]) -> JSONSchema | None:
    """JSON Schema of its options; None for a kind that has none."""
    if "config" not in entry.spec.references:
        return None
    return entry.options_schema()


def print_facts(entry: Registered[Spec]) -> None:
    spec = entry.spec
    say(f"{spec.name}: {spec.summary}\n")
    install = f" (pip install '{entry.distribution}[{spec.extra}]')" if spec.extra else ""
    old = [f"{rename.old} (now {rename.new})" for rename in spec.renames if rename.new]
    gone = [rename.old for rename in spec.renames if not rename.new]
    if gone:
        old.append(f"and {len(gone)} that have no meaning any more (--json lists them)")
    lines = {label: _plain(field, getattr(spec, field, ())) for field, label in _LABELS.items()}
    lines["needs"] = (", ".join(spec.requires) or "nothing more") + install
    lines["from"] = f"{entry.distribution} {entry.version}, plugin {entry.plugin}"
    lines["old names"] = ", ".join(old)
    for label, value in lines.items():
        if value:
            click.echo(click.wrap_text(f"{label:<11} {value}", page_width(), "  ", " " * 14))


def _plain(field: str, value: object) -> str:
    """A field of a spec for people."""
    if isinstance(value, Mapping):
        return ", ".join(
            f"{name} ({', '.join(filter(None, [unit, 'more is better' if more else 'less is better']))})"
            for name, (unit, more) in value.items()
        )
    if isinstance(value, tuple):
        return (" or " if field == "accepts" else ", ").join(value)
    return "the format it took" if value == "same" else str(value)
