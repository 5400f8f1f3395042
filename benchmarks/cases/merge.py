"""Merging a LoRA adapter: time and memory against PEFT and against plain copying; every tensor compared."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import against_olive
import jobs
import models
from harness import ROOT, Contender, Figures, Settings, compare, remove, versions
from page import Section, Target, at_most, number, table
from plots import bars

from modelpress.api import Checkpoint

NAME = "merge"
ALONE, WHOLE, PEFT, OLIVE, COPY = "modelpress, the pass", "modelpress run", "PEFT", "Olive", "cp -r"


def measure(settings: Settings) -> dict[str, Any]:
    folder = settings.fresh(NAME)
    shape = models.TINY if settings.quick else models.MEDIUM
    base = models.make_model(folder / "base", shape)
    adapter = models.make_adapter(folder / "adapter", base, shape)
    rival, copied = folder / "peft", folder / "copy"
    contenders = [
        _alone(base, adapter, folder),
        jobs.workflow(WHOLE, _workflow(base, adapter), folder / "whole"),
        Contender(
            PEFT,
            [sys.executable, str(ROOT / "contenders" / "peft_merge.py"), *map(str, (base, adapter, rival))],
            before=lambda _: remove(rival),
        ),
        against_olive.contender(
            OLIVE, {"merge": {"type": "MergeAdapterWeights"}}, folder / "olive", model=base, adapter=adapter
        ),
        Contender(COPY, ["cp", "-r", str(base), str(copied)], before=lambda _: remove(copied)),
    ]
    figures = compare(contenders, settings.runs)
    same = (
        _identical(folder / "alone" / "out", rival),
        _identical(folder / "whole" / "output" / "model", rival),
    )
    for path in (folder / "whole", folder / "alone", folder / "olive", rival, copied, base, adapter):
        remove(path)
    result = {
        "versions": {
            **versions(against_olive.python(), ("olive-ai",)),
            **versions(sys.executable, ("modelpress", "torch", "peft", "transformers")),
        },
        "parameters": shape.parameters,
        "figures": [f.to_record() for f in figures],
        "identical": same,
        "large": _large(folder, settings),
    }
    remove(folder)
    return result


def _alone(base: Path, adapter: Path, folder: Path) -> Contender:
    options = {"verify": "never"}
    return jobs.pass_alone(ALONE, "MergeAdapterWeights", base, options, folder / "alone", adapter=adapter)


def _workflow(base: Path, adapter: Path) -> dict[str, Any]:
    return {
        "input_model": {"type": "HfModel", "model_path": str(base), "adapter_path": str(adapter)},
        "passes": {"merge": {"type": "MergeAdapterWeights"}},
    }


def _large(folder: Path, settings: Settings) -> dict[str, Any]:
    """Phi-3-mini's own shape: modelpress only."""
    shape = models.TINY if settings.quick else models.PHI3_MINI
    base = models.make_model(folder / "large", shape)
    adapter = models.make_adapter(folder / "large-adapter", base, shape)
    contenders = [
        _alone(base, adapter, folder),
        jobs.workflow(WHOLE, _workflow(base, adapter), folder / "whole", export=False),
    ]
    return {
        "parameters": shape.parameters,
        "figures": [f.to_record() for f in compare(contenders, settings.runs)],
    }


def _identical(ours: Path, theirs: Path) -> list[int]:
    """(tensors that are the same byte for byte, tensors of both)."""
    with Checkpoint(ours) as mine, Checkpoint(theirs) as other:
        names = sorted({*mine.names(), *other.names()})
        same = (n in mine and n in other and mine.read(n) == other.read(n) for n in names)
        return [sum(same), len(names)]


def describe(result: Mapping[str, Any], plots: Path) -> Section:
    by_name = {r["name"]: Figures.from_record(r) for r in result["figures"]}
    large = {r["name"]: Figures.from_record(r) for r in result["large"]["figures"]}
    alone, whole, peft, copy = (by_name[name] for name in (ALONE, WHOLE, PEFT, COPY))
    same, total = min(result["identical"])
    head = ("", "wall", "of it at work", "peak", "wall / PEFT")
    rows = [_row(f, peft.seconds) for f in by_name.values()]
    rows += [(f"{f.name}, 3.8 B", *_row(f, None)[1:]) for f in large.values()]
    ours = (ALONE, WHOLE)
    body = (
        f"A LoRA adapter of rank 16 on every linear layer, Phi-3's architecture, bf16, random weights: "
        f"{result['parameters'] / 1e9:.1f} and {result['large']['parameters'] / 1e9:.1f} billion parameters. "
        f"`{WHOLE}` is the whole of it with its defaults: plan, merge, digests and fsync of what is kept in the "
        "cache, export (the last not at 3.8 B). *The pass* is the pass alone in a process of its own, without the "
        "check of logits, as PEFT's script has none; *at work* leaves imports out. PEFT is "
        "`merge_and_unload` + `save_pretrained`"
        + ("; Olive is its `run` of `MergeAdapterWeights`" if OLIVE in by_name else "")
        + f". `cp -r` took {number(min(r.seconds for r in copy.runs), 's')} to "
        f"{number(max(r.seconds for r in copy.runs), 's')}: its median decides the ratio.\n\n"
        f"{table(head, rows)}\n\n"
        f"{same} of {total} tensors are bit for bit those that PEFT writes.\n\n"
        + bars(plots / "merge-seconds.svg", "Merge, 0.8 B: wall time",
               {n: f.seconds for n, f in by_name.items()}, "s", ours)
        + "\n\n"
        + bars(plots / "merge-memory.svg", "Merge, 0.8 B: peak memory",
               {n: f.peak / 1e6 for n, f in by_name.items()}, "MB", ours)
    )  # fmt: skip
    return Section("Merging an adapter", body, [
        at_most("merge 0.8 B, peak of the pass", alone.peak, 700e6, "MB"),
        at_most("merge 0.8 B, peak of the whole run", whole.peak, 700e6, "MB"),
        at_most("merge 0.8 B, the pass, times PEFT's wall time", alone.seconds / peft.seconds, 0.35, "x"),
        at_most("merge 0.8 B, the pass at work, times `cp -r`", alone.told("seconds") / copy.seconds, 3, "x"),
        Target("merge 0.8 B, tensors bit-identical to PEFT's", "all", f"{same} of {total}", same == total),
        at_most("merge 3.8 B, peak of the whole run", large[WHOLE].peak, 1.2e9, "GB"),
    ])  # fmt: skip


def _row(figures: Figures, rival: float | None) -> tuple[str, ...]:
    told = figures.runs[0].told
    at_work = number(figures.told("seconds"), "s") if "seconds" in told else "–"
    ratio = number(figures.seconds / rival, "x") if rival else "–"
    return figures.name, number(figures.seconds, "s"), at_work, number(figures.peak, "MB"), ratio
