"""From float to an int4 folder of onnxruntime-genai: tensor by tensor, against the builder by itself."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jobs
import models
from harness import Contender, Figures, Settings, compare, remove, versions
from page import Section, at_most, number, table
from plots import bars

NAME = "build"
ALONE, UNVERIFIED, WHOLE = "modelpress, the pass", "modelpress, the pass, verify: never", "modelpress run"
BUILDER = "builder of onnxruntime-genai"


def measure(settings: Settings) -> dict[str, Any]:
    folder = settings.fresh(NAME)
    shape = models.TINY if settings.quick else models.MEDIUM
    base = models.make_model(folder / "base", shape)
    built, scratch = folder / "built", folder / "scratch"

    def clean(_: int) -> None:
        remove(built)
        remove(scratch)

    options = {"precision": "int4"}
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", str(base), "-o", str(built)]
    command += ["-p", "int4", "-e", "cpu", "-c", str(scratch), "--extra_options", "hf_token=false"]
    document = {
        "input_model": {"type": "HfModel", "model_path": str(base)},
        "passes": {"builder": {"type": "ModelBuilder", **options}},
    }
    contenders = [
        jobs.pass_alone(ALONE, "ModelBuilder", base, options, folder / "alone"),
        jobs.pass_alone(
            UNVERIFIED, "ModelBuilder", base, {**options, "verify": "never"}, folder / "unverified"
        ),
        jobs.workflow(WHOLE, document, folder / "whole"),
        Contender(BUILDER, command, before=clean),
    ]
    result = {
        "versions": versions(sys.executable, ("modelpress", "onnxruntime-genai", "onnxruntime", "torch")),
        "parameters": shape.parameters,
        "checkpoint": sum(path.stat().st_size for path in base.iterdir()),
        "figures": [f.to_record() for f in compare(contenders, settings.runs)],
    }
    remove(folder)
    return result


def describe(result: Mapping[str, Any], plots: Path) -> Section:
    by_name = {r["name"]: Figures.from_record(r) for r in result["figures"]}
    alone, whole, builder = by_name[ALONE], by_name[WHOLE], by_name[BUILDER]
    rows = [
        (
            f.name,
            number(f.seconds, "s"),
            number(f.seconds / builder.seconds, "x"),
            number(f.peak, "GB"),
            number(f.peak / builder.peak, "x"),
            number(f.peak / result["checkpoint"], "x"),
        )
        for f in by_name.values()
    ]
    ours = (ALONE, UNVERIFIED, WHOLE)
    head = ("", "wall", "/ builder", "peak", "/ builder", "/ checkpoint")
    body = (
        f"`ModelBuilder` with `precision: int4` from bf16, {result['parameters'] / 1e9:.1f} billion parameters "
        "of Phi-3's architecture, block 32, symmetric: what the builder does by default, too. Ours loads the "
        "result, lets it generate, and compares its logits; the builder does neither. *The pass* is a process of its "
        "own, imports included; `modelpress run` also digests the input, keeps the result in the cache, flushed to "
        "the disk, and copies it to the output folder.\n\n"
        f"{table(head, rows)}\n\n"
        + bars(plots / "build-memory.svg", "int4 from float, 0.8 B: peak memory",
               {n: f.peak / 1e9 for n, f in by_name.items()}, "GB", ours)
        + "\n\n"
        + bars(plots / "build-seconds.svg", "int4 from float, 0.8 B: wall time",
               {n: f.seconds for n, f in by_name.items()}, "s", ours)
    )  # fmt: skip
    return Section("int4 from float", body, [
        at_most("int4 0.8 B, the pass, times the builder's peak", alone.peak / builder.peak, 0.30, "x"),
        at_most("int4 0.8 B, the pass, times the builder's wall time", alone.seconds / builder.seconds, 0.5, "x"),
        at_most("int4 0.8 B, whole run, times the builder's peak", whole.peak / builder.peak, 0.30, "x"),
        at_most("int4 0.8 B, whole run, times the builder's wall time", whole.seconds / builder.seconds, 0.5, "x"),
    ])  # fmt: skip
