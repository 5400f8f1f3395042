"""The licence that a model came with, as far as its own files name it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

_FILES = re.compile(r"(licen[cs]e|notice|copying).*|.*use_policy.*|.*\.license", re.IGNORECASE)
_FRONT = re.compile(r"\A---\r?\n(.*?)\r?\n---", re.DOTALL)
_KNOWN = (
    ("mit license", "mit"),
    ("apache license", "apache-2.0"),
    ("gnu affero general public license", "agpl-3.0"),
    ("gnu lesser general public license", "lgpl-3.0"),
    ("gnu general public license", "gpl-3.0"),
    ("bsd 3-clause", "bsd-3-clause"),
    ("bsd 2-clause", "bsd-2-clause"),
)
"""How texts begin -> the name that model hubs have for them."""


@dataclass(frozen=True, slots=True)
class Licence:
    """front: `license`, `license_name`, `license_link` for a card's front matter; empty when nothing names
    one. files: names of licence texts that lie in the folder."""

    front: Mapping[str, str]
    files: Sequence[str]


def licence_of(folders: Sequence[Path]) -> Licence:
    """The licence of a model. folders: its own, then those of what it was made from; the nearest counts."""
    files = sorted(p.name for p in folders[0].iterdir() if p.is_file() and _FILES.fullmatch(p.name))
    for folder in folders:
        for card in sorted(folder.glob("README*.md")):
            said = front_matter(card)
            front = {key: said[key] for key in ("license", "license_name", "license_link") if key in said}
            if "license" in front:
                return Licence(front, files)
    return Licence(_by_text(folders), files)


def front_matter(card: Path) -> Mapping[str, str]:
    """The texts in the YAML at the head of a card; of lists the first. Empty when there is none."""
    try:
        match = _FRONT.match(card.read_text(encoding="utf-8", errors="replace")[:20_000])
        said = yaml.safe_load(match[1]) if match else {}
    except (OSError, yaml.YAMLError):
        return {}
    if not isinstance(said, dict):
        return {}
    firsts = {str(k): v[0] if isinstance(v, list) and v else v for k, v in said.items()}
    return {key: value for key, value in firsts.items() if isinstance(value, str)}


def _by_text(folders: Iterable[Path]) -> Mapping[str, str]:
    for folder in folders:
        for path in sorted(p for p in folder.glob("*") if re.match("licen[cs]e|copying", p.name, re.I)):
            head = path.read_text(encoding="utf-8", errors="replace")[:400] if path.is_file() else ""
            title = " ".join(head.split("\n\n")[0].split())[:80]
            found = next((name for text, name in _KNOWN if text in head.lower()), "")
            if found:
                return {"license": found}
            if title:
                return {"license": "other", "license_name": title}
    return {}
