"""The lists that differ only in what they list: data containers, systems."""

from __future__ import annotations

from modelpress.cli.text import print_json, print_table
from modelpress.registry import Registry
from modelpress.specs import DataContainerSpec, SystemSpec


def print_kinds(
    spec_type: type[DataContainerSpec] | type[SystemSpec], headings: tuple[str, str, str], as_json: bool
) -> None:
    """All that is registered of a type, by name. headings: of name, plugin and summary."""
    found = sorted(Registry.load().all(spec_type), key=lambda entry: entry.spec.name.lower())
    if not as_json:
        print_table(headings, [(e.spec.name, e.plugin, e.spec.summary) for e in found])
        return
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
