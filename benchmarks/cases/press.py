"""A LoRA adapter and its 3.8 B base to an int4 folder in one `modelpress run`: the peak of all its processes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jobs
import models
from harness import RESULTS, Figures, Settings, compare, remove, versions
from page import Section, at_most, number, table
from results import load

from cases import build

NAME = "press"


def measure(settings: Settings) -> dict[str, Any]:
    folder = settings.fresh(NAME)
    shape = models.TINY if settings.quick else models.PHI3_MINI
    base = models.make_model(folder / "base", shape)
    adapter = models.make_adapter(folder / "adapter", base, shape)
    document = {
        "input_model": {"type": "HfModel", "model_path": str(base), "adapter_path": str(adapter)},
        "passes": {
            "merge": {"type": "MergeAdapterWeights"},
            "builder": {"type": "ModelBuilder", "precision": "int4"},
        },
    }
    figures = compare([jobs.workflow("modelpress run", document, folder / "whole")], settings.runs)
    built = folder / "whole" / "output" / "model"
    result = {
        "versions": versions(sys.executable, ("modelpress", "onnxruntime-genai", "onnxruntime", "torch")),
        "parameters": shape.parameters,
        "checkpoint": sum(path.stat().st_size for path in base.iterdir()),
        "built": sum(path.stat().st_size for path in built.rglob("*") if path.is_file()),
        "figures": [f.to_record() for f in figures],
    }
    remove(folder)
    return result


def describe(result: Mapping[str, Any], plots: Path) -> Section:
    whole = Figures.from_record(result["figures"][0])
    steps = whole.runs[len(whole.runs) // 2].told["steps"]
    rows = [(name, number(s["seconds"], "s"), number(s["peak_memory"], "GB")) for name, s in steps.items()]
    rows.append(("the whole run, all processes", number(whole.seconds, "s"), number(whole.peak, "GB")))
    body = (
        f"Phi-3-mini's own shape, {result['parameters'] / 1e9:.1f} billion parameters, "
        f"{number(result['checkpoint'], 'GB')} in bf16, and an adapter of rank 16; the folder that comes out has "
        f"{number(result['built'], 'GB')}.{_builder_alone(result['checkpoint'])}\n\n"
        f"{table(('', 'wall', 'peak'), rows)}"
    )
    return Section("LoRA adapter + 3.8 B base → int4", body, [
        at_most("adapter + 3.8 B → int4, peak of the whole run", whole.peak, 6e9, "GB"),
    ])  # fmt: skip


def _builder_alone(checkpoint: int) -> str:
    """What the builder by itself would need, by its ratio at 0.8 B."""
    known = load(RESULTS, build.NAME)
    if known is None:
        return ""
    builder = next(Figures.from_record(r) for r in known["figures"] if r["name"] == build.BUILDER)
    ratio = builder.peak / known["checkpoint"]
    return (
        f" The builder by itself held {number(ratio, 'x')} its checkpoint at 0.8 B; at this size that would be "
        f"{number(ratio * checkpoint, 'GB')}, after a merge that held a model, too."
    )
