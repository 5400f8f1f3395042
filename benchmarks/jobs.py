"""One pass as a job folder, which contenders/run_job.py then runs in a process of its own: the pass alone,
without plan, cache and export. What a whole `modelpress run` takes is measured besides."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness import ROOT, Contender, remove

from modelpress.engine.job import FormatCode, Job, ModelInput, write_job
from modelpress.registry import Registry
from modelpress.specs import FormatSpec, PassSpec


def pass_alone(
    name: str,
    type_name: str,
    model: Path,
    options: Mapping[str, Any],
    folder: Path,
    *,
    adapter: Path | None = None,
    format: str = "hf-model",
) -> Contender:
    """The pass as a contender. It tells `seconds`, counted after its imports; its model is in folder/out."""
    registry = Registry.load()
    registered = registry.find(PassSpec, type_name)
    spec = registered.spec
    formats = {e.spec.name: FormatCode(e.origin, e.spec.check, e.spec.load) for e in registry.all(FormatSpec)}
    base = ModelInput("base" if adapter else "model", format, "content:base")
    inputs = {"base": model, "model": adapter} if adapter else {"model": model}
    job = Job(
        origin=registered.origin,
        name=type_name,
        run=spec.run,
        config=spec.config,
        options=options,
        model=ModelInput("model", "hf-adapter", "content:adapter", base=base) if adapter else base,
        produces=format if spec.produces == "same" else spec.produces,
        formats=formats,
    )

    def lay_out(_: int) -> None:
        remove(folder)
        folder.mkdir(parents=True)
        write_job(folder, job, inputs)

    return Contender(
        name, [sys.executable, str(ROOT / "contenders" / "run_job.py"), str(folder)], before=lay_out
    )


def workflow(
    name: str, document: Mapping[str, Any], folder: Path, *, export: bool = True, python: str = sys.executable
) -> Contender:
    """`modelpress run` of a workflow, each time with an empty cache, as a contender. With export, it tells
    `steps`: seconds and peak of each, by its name; and `metrics`. The model is in folder/output/model.

    python: the one whose modelpress is run
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "workflow.json"
    file.write_text(json.dumps(document, indent=1), encoding="utf-8")
    cache, output = folder / "cache", folder / "output"
    command = [python, "-m", "modelpress", "run", str(file), "--offline", "--cache-dir", str(cache)]

    def clean(_: int) -> None:
        remove(cache)
        remove(output)

    return Contender(
        name,
        [*command, "--output-dir", str(output)] if export else command,
        before=clean,
        after=_record_reader(output) if export else None,
    )


def _record_reader(output: Path) -> Callable[[], Mapping[str, Any]]:
    def read() -> Mapping[str, Any]:
        record = json.loads((output / "run.json").read_text(encoding="utf-8"))
        steps = {
            step["name"]: {key: step[key] for key in ("seconds", "peak_memory", "size") if step[key]}
            for step in record["steps"]
        }
        return {"metrics": record["metrics"], "steps": steps}

    return read
