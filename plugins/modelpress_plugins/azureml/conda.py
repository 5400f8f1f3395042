"""Conda environment files: read, checked, and completed by what the work needs.

A file that was written for Olive (it installs `olive-ai`) is translated, as Olive's workflows are: its Python
and its nightly builds are those of Olive's day.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import yaml
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from modelpress.api import JSONValue, UserError

PYTHON = SpecifierSet(">=3.11")
"""What modelpress runs on."""
_DEFAULT_PYTHON = "python=3.11"
_OLIVE = "olive-ai"
_OF_ITS_DAY = {"ort-nightly", "ort-nightly-gpu", "onnxruntime-gpu", "onnxruntime"}
_FOR_GPU = ("-gpu", "-cuda")
_PIN = re.compile(r"python\s*(?P<pin>[=<>!~ ].*)?$")


@dataclass(frozen=True, slots=True)
class CondaFile:
    """content: to be given to AzureML; changes: what is not as the user wrote it, one sentence each."""

    content: dict[str, JSONValue]
    changes: Sequence[str] = ()


def read_conda(path: Path, requires: Sequence[str]) -> CondaFile:
    """Raises UserError when it is no conda file, or its Python cannot run modelpress."""
    document = _document(path)
    entries = cast("list[JSONValue]", document["dependencies"])
    plain = [str(entry) for entry in entries if not isinstance(entry, dict)]
    lists = [
        entry["pip"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("pip"), list)
    ]
    pip = [str(line) for each in lists if isinstance(each, list) for line in each]
    changes: list[str] = []
    olive = any(_OLIVE in line for line in pip)
    plain = _with_python(path, plain, changes, olive=olive)
    pip = _with_what_is_needed(path, pip, requires, changes, olive=olive)
    others: list[JSONValue] = [p for p in plain if p.split("=")[0].strip() != "pip"]
    pips: list[JSONValue] = [*pip]
    content = {**document, "dependencies": [*others, "pip", {"pip": pips}]}
    return CondaFile(content, changes)


def _document(path: Path) -> dict[str, JSONValue]:
    what = f"{str(path)!r} is no conda environment file"
    hint = "It is YAML with a list `dependencies`, in it `python=3.11` and a list `pip`."
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{what}: {' '.join(str(error).split())[:200]}", hint) from None
    if not isinstance(document, dict) or not isinstance(document.get("dependencies"), list):
        raise UserError(f"{what}: it has no list `dependencies`.", hint)
    return document


def _with_python(path: Path, plain: list[str], changes: list[str], *, olive: bool) -> list[str]:
    """The entries with a Python that modelpress runs on. Raises UserError where the user's own is too old."""
    found = [entry for entry in plain if _PIN.match(entry.strip())]
    if not found:
        raise UserError(
            f"{str(path)!r} installs no Python, so nothing in it can run.", f"Add {_DEFAULT_PYTHON!r} to it."
        )
    version = re.search(r"\d+(\.\d+)*", found[0])
    if version is None or PYTHON.contains(_least(version[0])):
        return plain
    if not olive:
        raise UserError(
            f"{str(path)!r} installs Python {version[0]}; modelpress runs on {PYTHON}.",
            f"Write {_DEFAULT_PYTHON!r}, or a later one.",
        )
    changes.append(f"{found[0]} -> {_DEFAULT_PYTHON}: modelpress runs on {PYTHON}")
    return [_DEFAULT_PYTHON if entry == found[0] else entry for entry in plain]


def _least(version: str) -> str:
    return version if version.count(".") else f"{version}.99"


def _with_what_is_needed(
    path: Path, lines: list[str], requires: Sequence[str], changes: list[str], *, olive: bool
) -> list[str]:
    kept: list[str] = []
    for line in lines:
        if _OLIVE in line:
            changes.append(f"{line} is left out: modelpress does the work, and comes along")
        elif olive and _name(line) in _OF_ITS_DAY:
            changes.append(f"{line} is left out: it is older than what the passes need")
        else:
            kept.append(line)
    names = {_name(line): line for line in kept}
    for text in requires:
        options = [part.strip() for part in text.split("|")]
        there = next((part for part in options if _name(part) in names), None)
        if there is None:
            chosen = _fitting(options, names)
            kept.append(chosen)
            changes.append(f"{chosen} is added: the work needs it")
        else:
            _narrow(path, kept, names[_name(there)], there)
    return kept


def _narrow(path: Path, kept: list[str], line: str, needed: str) -> None:
    """Let a line without a version mean one that will do. Raises UserError for one that cannot."""
    try:
        given, wanted = Requirement(line), Requirement(needed)
    except InvalidRequirement:
        return  # an address, a wheel
    pins = [each.version for each in given.specifier if each.operator in ("==", "===")]
    if pins and not wanted.specifier.contains(pins[0].removesuffix(".*"), prereleases=True):
        raise UserError(
            f"{str(path)!r} installs {line}; the work needs {needed}.", f"Write {needed!r} there."
        )
    if not given.specifier and wanted.specifier and not given.url:
        extras = f"[{','.join(sorted(given.extras))}]" if given.extras else ""
        kept[kept.index(line)] = f"{given.name}{extras}{wanted.specifier}"


def _fitting(options: Sequence[str], names: Iterable[str]) -> str:
    """Of distributions that stand for each other, the one for a GPU where another one is for it."""
    gpu = any(name.endswith(_FOR_GPU) for name in names)
    return next((part for part in options if gpu and _name(part).endswith(_FOR_GPU)), options[0])


def _name(line: str) -> str:
    found = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line.strip())
    return canonicalize_name(found[0]) if found else line
