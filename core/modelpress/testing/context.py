"""Run a pass in this process as the worker would: the same context, a folder of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from modelpress.artifact import Artifact
from modelpress.events import EventFile
from modelpress.registry import Registry
from modelpress.engine.job import FormatCode, Job, ModelInput, write_job
from modelpress.specs import FormatSpec
from modelpress.worker import WorkerContext


def pass_context(
    folder: Path, *, seed: int = 0, registry: Registry | None = None, name: str = "test"
) -> WorkerContext:
    """A PassContext whose `out` and `scratch` are empty and whose `checkpoint` is as the last call left it.

    folder: where they lie; made if need be. registry: whose formats `load` can open; none when left out.
    What the pass reports is in `context.reports`, the events in `folder/events.jsonl`.
    """
    formats: Mapping[str, FormatCode] = {
        entry.spec.name: FormatCode(entry.spec.check, entry.spec.load)
        for entry in (registry.all(FormatSpec) if registry else ())
    }
    job = Job(
        kind="pass",
        name=name,
        type=name,
        run="",
        config="",
        options={},
        model=ModelInput(input="model", format="", key=""),
        produces="",
        formats=formats,
        seed=seed,
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_job(folder, job, {})
    return WorkerContext(folder, job, EventFile(folder / "events.jsonl"))


def input_artifact(folder: Path, format: str, base: Artifact | None = None) -> Artifact:
    """A folder as the input of a pass. base: the model that an adapter belongs to."""
    return Artifact(folder, format, key=f"content:{folder.name}", base=base)
