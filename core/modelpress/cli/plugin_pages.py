"""The pages of the docs about plugins, made from what the code says: specs, Protocols, templates, contracts.

`docs/plugins.md` lists what is installed, with every option; `docs/plugins/KIND.md` shows how one of a kind
is written. The example on it is what `plugins new` writes, which stands its contract under test.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from importlib import import_module
from pathlib import Path
from typing import get_args, get_origin, get_type_hints

import click

from modelpress import contracts, specs
from modelpress.cli.noun_facts import options_schema
from modelpress.cli.nouns import NOUNS
from modelpress.cli.option_facts import option_facts, takes
from modelpress.options import Options
from modelpress.registry import Registered, Registry
from modelpress.scaffold import KINDS, template_files
from modelpress.specs import Spec

_NAMES = {
    "command": "acme-look",
    "metric": "acme_size",
    "format": "acme-table",
    "resource": "acme_store",
    "library": "acme-hub",
}
_CONTRACTS = {kind: f"{kind.capitalize()}Contract" for kind in KINDS}
_MADE = "<!-- Made by `make docs`; change the code that it is made from. -->\n"


def pages(registry: Registry) -> Iterator[tuple[str, str]]:
    """(path below docs/, text) of every page."""
    yield "plugins.md", _overview(registry)
    for kind, noun in KINDS.items():
        yield f"plugins/{kind}.md", _kind_page(kind, noun)


def write_pages(folder: Path, registry: Registry) -> list[Path]:
    written = []
    for name, text in pages(registry):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def _overview(registry: Registry) -> str:
    parts = [f"# Plugins\n\n{_MADE}\nWhat modelpress itself brings. How one of your own is written: "]
    parts.append(", ".join(f"[{kind}](plugins/{kind}.md)" for kind in KINDS) + ".\n")
    for name, noun in NOUNS.items():
        entries = sorted(registry.all(noun.spec), key=lambda entry: entry.spec.name.lower())
        if entries:
            parts.append(f"\n## {name.capitalize()}\n\n{noun.help}\n")
            parts += [_entry(entry) for entry in entries]
    return "".join(parts)


def _entry(entry: Registered[Spec]) -> str:
    spec = entry.spec
    lines = [f"\n### {spec.name}\n\n{spec.summary}\n"]
    accepts, produces = getattr(spec, "accepts", ()), getattr(spec, "produces", "")
    if accepts:
        lines.append(f"\nTakes {' or '.join(f'`{name}`' for name in accepts)}, gives `{produces}`.")
    if spec.requires:
        lines.append(f"\nNeeds {', '.join(f'`{name}`' for name in spec.requires)}.")
    options = option_facts(options_schema(entry) or {})
    if options:
        lines.append("\n\n| option | takes | default | |\n|---|---|---|---|")
    for option in options:
        default = "required" if option.required else f"`{option.default}`" if option.default else ""
        cells = (f"`{option.name}`", takes(option), default, option.description)
        lines.append(f"\n| {' | '.join(_cell(cell) for cell in cells)} |")
    return "".join(lines).rstrip() + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _kind_page(kind: str, noun: str) -> str:
    spec = NOUNS[noun].spec
    name = _NAMES.get(kind, f"Acme{kind.capitalize()}")
    parts = [
        f"# A {spec.kind} of your own\n\n{_MADE}\n",
        f"{NOUNS[noun].help} `modelpress {noun} list` shows them.\n\n",
        f"```\nmodelpress plugins new {kind} {name} --folder mine\npip install -e 'mine[test]'\n",
        f"modelpress {noun} show {name}\nmodelpress plugins check ./mine\npytest mine\n```\n\n",
        f"## What it says of itself: `{spec.__name__}`\n\n",
        f"```\n{inspect.cleandoc(spec.__doc__ or '')}\n```\n\n",
        "| field | left out |\n|---|---|\n",
        *(_field(field.name, field.default, field.default_factory) for field in fields(spec)),
        "\n## What its functions are given, and what they return\n",
        *(_function(spec, field) for field in spec.references if field not in ("config", "command")),
        "\n## What is written\n\nEach file is there at once, works, and is yours to change.\n",
    ]
    for path, text in template_files(kind, name):
        if path.startswith(("src/", "tests/")):
            parts.append(f"\n`{path}`\n\n```python\n{text.rstrip()}\n```\n")
    parts.append(f"\n## What its contract checks: `modelpress.testing.{_CONTRACTS[kind]}`\n\n")
    return "".join([*parts, *_checks(kind)])


def _field(name: str, default: object, made: object) -> str:
    if default is MISSING and made is MISSING:
        return f"| `{name}` | required |\n"
    default = made() if callable(made) else default
    return f"| `{name}` | {f'`{default!r}`' if default else 'nothing'} |\n"


def _function(spec: type[Spec], field: str) -> str:
    names = {**vars(specs), "contracts": contracts, "Options": Options, "click": click}
    (protocol,) = get_args(get_type_hints(spec, names)[field])
    found = get_origin(protocol) or protocol
    signature = str(inspect.signature(found.__call__)).replace("(self, ", "(").replace(", /", "")
    plain = signature.replace("'", "").replace("config: C", "config")
    text = " ".join(inspect.cleandoc(found.__doc__ or "").split())
    return f"\n`{field}{plain}`\n\n{text}\n"


def _checks(kind: str) -> Iterator[str]:
    """The tests of the contract as sentences."""
    contract = getattr(import_module("modelpress.testing"), _CONTRACTS[kind])
    tests: Mapping[str, object] = {
        name: vars(base)[name]
        for base in reversed(contract.__mro__)
        for name in vars(base)
        if name.startswith("test_")
    }
    for name in tests:
        yield f"- {name.removeprefix('test_').replace('_', ' ')}\n"
