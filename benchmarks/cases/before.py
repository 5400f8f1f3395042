"""Beside an earlier version of modelpress: the same workflows, run by both in turns.

MODELPRESS_BENCH_PYTHON_BEFORE names the Python of a checkout of the earlier version, on the same libraries.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import emotions
import jobs
import models
from harness import Contender, Figures, Settings, compare, remove, versions
from page import Section, at_most, number, table

NAME = "before"
VARIABLE = "MODELPRESS_BENCH_PYTHON_BEFORE"
_NOISE = 1.15
"""Medians of three runs of the very same version differ by up to so much."""
_LISTINGS = 9


def measure(settings: Settings) -> dict[str, Any]:
    folder = settings.fresh(NAME)
    before = os.environ[VARIABLE]
    pythons = {"now": sys.executable, "before": before}
    shape = models.TINY if settings.quick else models.MEDIUM
    base = models.make_model(folder / "base", shape)
    adapter = models.make_adapter(folder / "adapter", base, shape)
    example = emotions.example()
    merge = {"type": "HfModel", "model_path": str(base), "adapter_path": str(adapter)}
    small = {"type": "HfModel", "model_path": str(base)}
    gptq = {**emotions.unmeasured(), "passes": {"gptq": {"type": "Gptq", "data_config": "train"}}}
    documents = {
        "the example": example,
        "merge": {"input_model": merge, "passes": {"merge": {"type": "MergeAdapterWeights"}}},
        "int4": {"input_model": small, "passes": {"build": {"type": "ModelBuilder", "precision": "int4"}}},
        "Rtn": {"input_model": small, "passes": {"rtn": {"type": "Rtn"}}},
        "Gptq, the example's model": gptq,
    }
    figures: dict[str, list[Any]] = {"passes list": _figures(
        [Contender(who, [python, "-m", "modelpress", "passes", "list"]) for who, python in pythons.items()],
        _LISTINGS,
    )}  # fmt: skip
    for what, document in documents.items():
        print(f" {what}", flush=True)
        figures[what] = _figures(
            [jobs.workflow(w, document, folder / w, python=p) for w, p in pythons.items()], settings.runs
        )
    remove(folder)
    known = versions(sys.executable, ("modelpress", "torch", "transformers", "onnxruntime-genai"))
    return {"versions": known, "figures": figures}


def _figures(contenders: list[Contender], runs: int) -> list[Any]:
    return [each.to_record() for each in compare(contenders, runs)]


def describe(result: Mapping[str, Any], plots: Path) -> Section:
    rows, targets = [], []
    for what, records in result["figures"].items():
        now, before = (Figures.from_record(record) for record in records)
        seconds, peak = now.seconds / before.seconds, now.peak / before.peak
        rows.append((what, number(before.seconds, "s"), number(now.seconds, "s"), number(seconds, "x"),
                     number(before.peak, "GB"), number(now.peak, "GB"), number(peak, "x")))  # fmt: skip
        targets.append(
            at_most(
                f"{what}, wall, of what it was before the plugin contracts were rebuilt", seconds, _NOISE, "x"
            )
        )
        targets.append(at_most(f"{what}, peak, of what it was before", peak, _NOISE, "x"))
    head = ("`modelpress run` of", "wall before", "wall now", "ratio", "peak before", "peak now", "ratio")
    body = (
        "Whole runs with an empty cache, proofs and measurements included, beside the version before the plugin "
        "contracts were rebuilt, in turns, on the same libraries. Merge, int4 and Rtn have 0.8 B parameters.\n\n"
        f"{table(head, rows)}"
    )
    return Section("Beside an earlier version", body, targets)
