"""The record of a run, `run.json`: what was made from what, with which code, how long and how large."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from modelpress.artifact import Artifact
from modelpress.engine.goals import Judgement
from modelpress.engine.job import ErrorRecord
from modelpress.engine.plan import Measurement, Step
from modelpress.engine.search.record import SearchRecord
from modelpress.engine.step import Done
from modelpress.json_types import JSONValue

Status = Literal["running", "finished", "failed", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One pass or metric. seconds and peak_memory (bytes) are of the work itself, whenever it was done.

    started: when this run came to it, Unix seconds
    baseline: a measurement of the input model, to compare with
    """

    name: str
    type: str
    kind: str
    key: str
    system: str
    cached: bool
    provider: str
    options: Mapping[str, JSONValue]
    libraries: Mapping[str, str]
    data: Mapping[str, JSONValue]
    started: float = 0.0
    size: int = 0
    seconds: float = 0.0
    peak_memory: int = 0
    reports: Mapping[str, JSONValue] = field(default_factory=dict)
    notes: Sequence[str] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    baseline: bool = False
    goals: Sequence[Judgement] = ()

    @staticmethod
    def of(
        task: Step | Measurement, done: Done, goals: Sequence[Judgement] = (), *, started: float = 0.0
    ) -> StepRecord:
        """The record of a finished task."""
        return StepRecord(
            name=task.name,
            type=task.type_name,
            kind=task.registered.spec.kind,
            key=task.key,
            system=task.system,
            cached=done.cached,
            provider=task.registered.identity,
            options=task.resolved.key,
            libraries=task.libraries,
            data={role: plan.fingerprint for role, plan in task.data.items()},
            started=round(started, 3),
            size=done.size,
            seconds=done.result.seconds,
            peak_memory=done.result.peak_memory,
            reports=done.result.reports,
            notes=done.notes,
            metrics=done.result.metrics,
            intervals=done.result.intervals,
            baseline=isinstance(task, Measurement) and task.is_baseline,
            goals=goals,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What `run.json` says.

    id:      of this run, in the cache's `runs/`
    workflow: the file; empty for one that was given as values. settings: what counted more (--set)
    status:  `running` until the run ends; error: why it did not end well
    host, process: where it runs, the process by its number
    log:     the file with all that it told
    cache:   the folder of the cache, which has the histories of its steps
    metrics: of the last model; input_metrics: of the input model, where that is compared with
    intervals: (low, high) of those metrics of the last model that said how sure they are
    goals:   all that were judged
    search:  what was searched; None where nothing was open
    artifact: the model that came out; None until then
    """

    id: str
    workflow_id: str
    workflow: str
    status: Status
    started: str
    seconds: float
    modelpress: str
    python: str
    platform: str
    host: str
    process: int
    log: str
    output_dir: str
    seed: int
    input_model: Mapping[str, str]
    translations: Sequence[str]
    settings: Sequence[str] = ()
    steps: Sequence[StepRecord] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    input_metrics: Mapping[str, float] = field(default_factory=dict)
    goals: Sequence[Judgement] = ()
    search: SearchRecord | None = None
    artifact: Artifact | None = None
    error: ErrorRecord | None = None
    cache: str = ""
