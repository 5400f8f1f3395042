"""The nouns of the command line, one for each kind that plugins bring: `passes list`, `metrics show`.

They differ in what a table shows, and in nothing else. A list imports neither pydantic nor a plugin's code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import click

from modelpress.cli.completion import names_of
from modelpress.cli.lazy import OpenGroup
from modelpress.cli.text import examples, json_option, print_json, print_table
from modelpress.registry import Registered, Registry
from modelpress.specs import (
    CommandSpec,
    DataContainerSpec,
    FormatSpec,
    LibrarySpec,
    MetricSpec,
    ModelSpec,
    ObserverSpec,
    PassSpec,
    ResourceSpec,
    SamplerSpec,
    Spec,
    SystemSpec,
)


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
    "observers": Noun(ObserverSpec, "OBSERVER", "WHAT IT DOES", "Who watches runs."),
    "libraries": Noun(LibrarySpec, "LIBRARY", "WHAT IT IS FOR", "What is known of libraries."),
    "commands": Noun(CommandSpec, "COMMAND", "WHAT IT DOES", "Commands that plugins bring."),
}  # fmt: skip


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
            from modelpress.cli.noun_facts import facts  # noqa: PLC0415 - a table does without

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
    @click.argument("name", shell_complete=names_of(noun.spec))
    @json_option
    def command(name: str, as_json: bool) -> None:
        # Only here: a list must not wait for it, and reading options needs pydantic.
        from modelpress.cli.noun_facts import facts, options_schema, print_facts  # noqa: PLC0415
        from modelpress.cli.option_facts import option_facts, print_options  # noqa: PLC0415

        entry = Registry.load().find(noun.spec, name)
        schema = options_schema(entry)
        if as_json:
            print_json({**facts(entry), **({"options": schema} if schema is not None else {})})
            return
        print_facts(entry)
        if schema is not None:
            print_options(option_facts(schema))

    command.help = f"One {noun.spec.kind}, with all that is known of it."
    return command


def _schema(name: str, noun: Noun) -> click.Command:
    @click.command("schema", epilog=examples(f"modelpress {name} schema NAME"))
    @click.argument("name", shell_complete=names_of(noun.spec))
    def command(name: str) -> None:
        from modelpress.cli.noun_facts import options_schema  # noqa: PLC0415 - see show

        print_json(options_schema(Registry.load().find(noun.spec, name)))

    command.help = f"JSON Schema of the options of one {noun.spec.kind}."
    return command
