"""bigram.json: {"counts": {"t": {"h": 3}}}, read and written with the standard library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from modelpress.api import UserError

FILE = "bigram.json"
Counts = Mapping[str, Mapping[str, int]]
"""First letter -> the letter after it -> how often."""


def read_counts(folder: Path) -> Counts:
    """Raises UserError when the file is missing, cut, or something else."""
    path = folder / FILE
    try:
        counts: Counts = json.loads(path.read_text(encoding="utf-8"))["counts"]
        if not all(count > 0 for row in counts.values() for count in row.values()):
            raise ValueError("a count is not above 0")
    except FileNotFoundError:
        raise UserError(f"{folder} holds no {FILE}.", "Name the folder of a bigram model.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no bigram model: {error}.", "Make it anew.") from None
    return counts


def write_counts(folder: Path, counts: Counts) -> None:
    text = json.dumps({"counts": counts}, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def count_letters(text: str) -> dict[str, dict[str, int]]:
    """How often each letter follows each other letter."""
    counts: dict[str, dict[str, int]] = {}
    for first, second in pairwise(text):
        row = counts.setdefault(first, {})
        row[second] = row.get(second, 0) + 1
    return counts


def check(folder: Path) -> None:
    read_counts(folder)
