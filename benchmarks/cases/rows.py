"""A million rows of text made into samples: the first time, again, and for five steps; beside datasets.map."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import REPOSITORY, ROOT, Contender, Figures, Settings, compare, remove, versions
from page import Section, at_most, number, table

NAME = "rows"
_MAP, _FIRST, _AGAIN, _FEW = (
    "datasets.map",
    "modelpress, first",
    "modelpress, again",
    "modelpress, five steps",
)
_MASKED = "modelpress, loss on answers, first"
_SCRIPT = ROOT / "contenders" / "tokenize_rows.py"
_MODEL = REPOSITORY / "examples" / "emotions" / "model"
_ROWS = 1_000_000


def measure(settings: Settings) -> dict[str, Any]:
    folder = settings.fresh(NAME)
    count = 1000 if settings.quick else _ROWS
    file = _write(folder / "rows.jsonl", count)

    def contender(name: str, how: str, place: str, *, again: bool = False) -> Contender:
        at = folder / place
        return Contender(
            name,
            [sys.executable, str(_SCRIPT), how, str(file), str(_MODEL), str(at)],
            before=None if again else lambda _: remove(at),
        )

    figures = compare(
        [
            contender(_MAP, "map", "map"),
            contender(_FIRST, "all", "ours"),
            contender(_AGAIN, "all", "ours", again=True),
            contender(_FEW, "few", "few"),
            contender(_MASKED, "masked", "masked"),
        ],
        settings.runs,
    )
    result = {
        "versions": versions(sys.executable, ("modelpress", "datasets", "tokenizers", "transformers")),
        "rows": count,
        "bytes": file.stat().st_size,
        "figures": [f.to_record() for f in figures],
    }
    remove(folder)
    return result


def _write(file: Path, count: int) -> Path:
    """Rows like those of the example, about 130 bytes each, no two alike."""
    known = json.loads((REPOSITORY / "examples" / "emotions" / "data" / "emotions.json").read_text())
    chance = random.Random(0)
    with file.open("w", encoding="utf-8") as out:
        for index in range(count):
            one, two = chance.choice(known), chance.choice(known)
            row = {"phrase": f"{one['phrase']} {index}: {two['phrase']}"[:100], "tone": one["tone"]}
            out.write(json.dumps(row) + "\n")
    return file


def describe(result: Mapping[str, Any], plots: Path) -> Section:
    figures = {f.name: f for f in (Figures.from_record(r) for r in result["figures"])}
    base = figures[_MAP]
    rows = [
        (name, number(_work(f), "s"), number(_work(f) / _work(base), "x"), number(f.peak, "GB"))
        for name, f in figures.items()
    ]
    body = (
        f"{result['rows']:,} rows of json lines, {number(result['bytes'], 'GB')}, with the tokenizer of the example; "
        "time after the libraries are imported, memory of the whole process. `again` is what happens when an "
        f"option of the pass has changed: the samples are on disk.\n\n{table(('', 'wall', 'of datasets.map', 'peak'), rows)}"
    )
    return Section("A million rows", body, [
        at_most("a million rows, first time, of datasets.map's time", _work(figures[_FIRST]) / _work(base), 1, "x"),
        at_most("a million rows, first time, peak", figures[_FIRST].peak, 0.8e9, "GB"),
        at_most("a million rows, again", _work(figures[_AGAIN]), 5, "s"),
        at_most("a million rows, for five steps", _work(figures[_FEW]), 10, "s"),
    ])  # fmt: skip


def _work(figures: Figures) -> float:
    """Seconds without the import of libraries."""
    return figures.told("inner_seconds")
