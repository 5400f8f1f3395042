"""The nouns of the command line, one for each kind that plugins bring: `passes list`, `metrics show`.

They differ in what a table shows, and in nothing else. A list imports neither pydantic nor a plugin's code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, NamedTuple

import click

from modelpress.cli.lazy import OpenGroup
from modelpress.cli.text import examples, json_option, page_width, print_json, print_table, say
from modelpress.registry import Registered, Registry
from modelpress.specs import (
    CommandSpec,
    DataContainerSpec,
    FormatSpec,
    MetricSpec,
    ModelSpec,
    PassSpec,
    ResourceSpec,
    SamplerSpec,
    Spec,
    SystemSpec,
)

if TYPE_CHECKING:
    from modelpress.json_types import JSONSchema


class Noun(NamedTuple):
    """spec: what it lists; heading: of the names; what: of the summaries; help: what the noun is; columns:
    further headings, and the field of the spec that stands below each."""

    spec: type[Spec]
    heading: str
    what: str
    help: str
    columns: Mapping[str, str] = {}


NOUNS: Mapping[str, Noun] = {
    "passes": Noun(
        PassSpec, "PASS", "WHAT IT DOES", "What can be done to a model.",
        {"TAKES": "accepts", "GIVES": "produces"},
    ),
    "models": Noun(
        ModelSpec, "MODEL", "WHAT IT IS", "Ways to name an input model.", {"GIVES": "produces"}
    ),
    "formats": Noun(FormatSpec, "FORMAT", "WHAT IT IS", "What models on disk can be."),
    "data": Noun(DataContainerSpec, "CONTAINER", "WHAT IT READS", "Where samples come from."),
    "systems": Noun(SystemSpec, "SYSTEM", "WHAT IT IS", "Where work runs."),
    "metrics": Noun(
        MetricSpec, "METRIC", "WHAT IT MEASURES", "What can be measured of a model.", {"OF": "formats"}
    ),
    "resources": Noun(ResourceSpec, "RESOURCE", "WHAT IT IS", "Kinds of paths that have to be fetched."),
    "samplers": Noun(SamplerSpec, "SAMPLER", "HOW IT SEARCHES", "Ways to search."),
    "commands": Noun(CommandSpec, "COMMAND", "WHAT IT DOES", "Commands that plugins bring."),
}  # fmt: skip

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


def group(name: str) -> click.Group:
    """The group of a noun: list, show and, where there are options, schema."""
    noun = NOUNS[name]
    group = OpenGroup(name, help=noun.help, short_help=noun.help)
    for function in (_list, _show, _schema):
        if function is not _schema or "config" in noun.spec.references:
            group.add_command(function(name, noun))
    return group


def _list(name: str, noun: Noun) -> click.Command:
    @click.command("list", epilog=examples(f"modelpress {name} list", f"modelpress {name} list --json"))
    @json_option
    def command(as_json: bool) -> None:
        found = sorted(Registry.load().all(noun.spec), key=lambda entry: entry.spec.name.lower())
        if as_json:
            print_json([facts(entry) for entry in found])
            return
        header = (noun.heading, *noun.columns, "PLUGIN", noun.what)
        print_table(header, [_row(entry, noun) for entry in found])

    command.help = f"All {name} that there are. {noun.help}"
    return command


def _row(entry: Registered[Spec], noun: Noun) -> list[str]:
    columns = [getattr(entry.spec, field) for field in noun.columns.values()]
    return [
        entry.spec.name,
        *(" ".join(value) or "all" if isinstance(value, tuple) else str(value) for value in columns),
        entry.plugin,
        entry.spec.summary,
    ]


def _show(name: str, noun: Noun) -> click.Command:
    @click.command("show", epilog=examples(f"modelpress {name} show NAME"))
    @click.argument("name")
    @json_option
    def command(name: str, as_json: bool) -> None:
        # Only here: reading options needs pydantic, and a list must not.
        from modelpress.cli.option_facts import option_facts, print_options  # noqa: PLC0415

        entry = Registry.load().find(noun.spec, name)
        schema = options_schema(entry)
        if as_json:
            print_json({**facts(entry), **({"options": schema} if schema is not None else {})})
            return
        _print_facts(entry)
        if schema is not None:
            print_options(option_facts(schema))

    command.help = f"One {noun.spec.kind}, with all that is known of it."
    return command


def _schema(name: str, noun: Noun) -> click.Command:
    @click.command("schema", epilog=examples(f"modelpress {name} schema NAME"))
    @click.argument("name")
    def command(name: str) -> None:
        print_json(options_schema(Registry.load().find(noun.spec, name)))

    command.help = f"JSON Schema of the options of one {noun.spec.kind}."
    return command


def options_schema(entry: Registered[Spec]) -> JSONSchema | None:
    """JSON Schema of its options; None for a kind that has none."""
    if "config" not in entry.spec.references:
        return None
    return entry.options_schema()


def _print_facts(entry: Registered[Spec]) -> None:
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
