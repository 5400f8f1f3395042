"""Gptq on a model of which the libraries are a small part: time and memory against Olive's."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import against_olive
import emotions
import models
from harness import Figures, Settings, compare, remove, versions
from page import Section, at_most, number, table
from plots import bars

from cases.quantizers import OLIVE, OURS, olive, ours

NAME = "gptq"
_ROWS = 60


def measure(settings: Settings) -> dict[str, Any]:
    folder = settings.fresh(NAME)
    shape = models.TINY if settings.quick else models.SMALL
    model = models.make_model(folder / "base", shape)
    train, _ = emotions.split_rows(folder / "data")
    few = train.with_name("few.json")
    few.write_text(json.dumps(json.loads(train.read_text(encoding="utf-8"))[:_ROWS]), encoding="utf-8")
    contenders = [
        ours(OURS, "Gptq", model, folder / "ours", few),
        olive(OLIVE, "Gptq", model, folder / "olive", few),
    ]
    result = {
        "versions": {
            **versions(against_olive.python(), ("olive-ai",)),
            **versions(sys.executable, ("modelpress", "torch", "transformers")),
        },
        "parameters": shape.parameters,
        "figures": [f.to_record() for f in compare(contenders, settings.runs)],
    }
    remove(folder)
    return result


def describe(result: Mapping[str, Any], plots: Path) -> Section:
    by_name = {r["name"]: Figures.from_record(r) for r in result["figures"]}
    rows = [(n, number(f.seconds, "s"), number(f.peak, "GB")) for n, f in by_name.items()]
    mine, theirs = by_name[OURS], by_name[OLIVE]
    size = f"{result['parameters'] / 1e9:.2f} B"
    body = (
        f"`Gptq` on a random bf16 model of {result['parameters'] / 1e9:.2f} billion parameters, calibrated on {_ROWS} "
        "rows of the example, with the options as above.\n\n"
        f"{table(('', 'wall', 'peak'), rows)}\n\n"
        + bars(plots / "gptq-seconds.svg", f"Gptq, {size}: wall time", {n: f.seconds for n, f in by_name.items()}, "s",
               (OURS,))
        + "\n\n"
        + bars(plots / "gptq-memory.svg", f"Gptq, {size}: peak memory", {n: f.peak / 1e9 for n, f in by_name.items()},
               "GB", (OURS,))
    )  # fmt: skip
    return Section("Gptq on a larger model", body, [
        at_most(f"Gptq, {size}, times Olive's wall time", mine.seconds / theirs.seconds, 0.5, "x"),
        at_most(f"Gptq, {size}, times Olive's peak", mine.peak / theirs.peak, 0.5, "x"),
    ])  # fmt: skip
