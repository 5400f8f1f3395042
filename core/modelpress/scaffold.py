"""Write a new plugin: a distribution of its own, with one thing of one kind, its contract under test, and CI.

The templates are package data, one file for each kind: `=== path` begins a file, `{{name}}` is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path

from modelpress.errors import UserError

KINDS: Mapping[str, str] = {
    "pass": "passes",
    "model": "models",
    "format": "formats",
    "data": "data",
    "system": "systems",
    "metric": "metrics",
    "resource": "resources",
    "sampler": "samplers",
    "observer": "observers",
    "library": "libraries",
    "command": "commands",
}
"""What can be written -> the noun of the command line that lists it."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def write_plugin(kind: str, name: str, folder: Path | None = None) -> tuple[Path, list[Path]]:
    """(the folder, the files that were written). folder: left out, it is called as the distribution.

    Raises UserError when the name can be nobody's, or something lies in the folder.
    """
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or not name[0].isalpha() or not re.fullmatch(r"[\w.-]+", name, re.ASCII):
        raise UserError(
            f"{name!r} cannot be the name of a {kind}.",
            "Begin with a letter; take letters, digits, '-' and '_': AcmePrune, acme-look.",
        )
    target = folder or Path("-".join(["modelpress", *words]))
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} is there already.", "Name another with --folder.")
    written = []
    for path, text in template_files(kind, name):
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        written.append(file)
    return target, written


def template_files(kind: str, name: str) -> Iterator[tuple[str, str]]:
    """(path, text) of each file of a plugin that brings one such thing."""
    words = [word.lower() for word in _WORD.findall(name)]
    values = {
        "kind": "data container" if kind == "data" else kind,
        "noun": KINDS[kind],
        "name": name,
        "plugin": "_".join(words),
        "distribution": "-".join(["modelpress", *words]),
        "package": "_".join(["modelpress", *words]),
        "module": "_".join(words),
        "variable": "_".join(words).upper(),
        "class": "".join(word.capitalize() for word in words),
    }
    yield from _template("common", values)
    yield from _template(kind, values)


def _template(name: str, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(path, text) of each file of a template."""
    text = (files("modelpress") / "templates" / f"{name}.txt").read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace("{{" + key + "}}", value)
    for part in text.split("=== ")[1:]:
        path, _, content = part.partition("\n")
        yield path, content
