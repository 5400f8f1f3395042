"""The record of a run, `run.json`: what was made from what, with which code, how long and how large."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelpress import __version__
from modelpress.artifact import Artifact
from modelpress.engine.ownership import RECORD, record_obstacle
from modelpress.engine.plan import Measurement, Plan, Step
from modelpress.engine.step import Done
from modelpress.errors import UserError
from modelpress.files import sealed, write_whole


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One pass or metric. seconds and peak_memory (bytes) are of the work itself, whenever it was done."""

    name: str
    type: str
    kind: str
    key: str
    system: str
    cached: bool
    provider: str
    options: Mapping[str, Any]
    libraries: Mapping[str, str]
    data: Mapping[str, Any]
    size: int = 0
    seconds: float = 0.0
    peak_memory: int = 0
    reports: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)

    @staticmethod
    def of(task: Step | Measurement, done: Done) -> StepRecord:
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
            size=done.size,
            seconds=done.result.seconds,
            peak_memory=done.result.peak_memory,
            reports=done.result.reports,
            metrics=done.result.metrics,
        )


@dataclass(slots=True)
class RunRecord:
    """A record that grows with the run."""

    workflow: str
    started: str
    input_model: Mapping[str, Any]
    seed: int
    translations: list[str]
    steps: list[StepRecord] = field(default_factory=list)
    document: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def start(plan: Plan) -> RunRecord:
        """An empty record of a plan."""
        model = plan.model
        return RunRecord(
            workflow=str(plan.workflow.path),
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            input_model={"identity": model.identity, "format": model.format},
            seed=plan.workflow.seed,
            translations=[str(t) for t in plan.workflow.translations],
        )

    def add_step(self, record: StepRecord) -> None:
        self.steps.append(record)

    def finish(self, artifact: Artifact, seconds: float) -> dict[str, Any]:
        """The whole as JSON values. metrics are those of the last model."""
        metrics: dict[str, float] = {}
        for step in self.steps:
            if step.kind == "pass":
                metrics = {}
            metrics.update(step.metrics)
        self.document = {
            "modelpress": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "workflow": self.workflow,
            "started": self.started,
            "seconds": round(seconds, 3),
            "seed": self.seed,
            "input_model": dict(self.input_model),
            "translations": self.translations,
            "steps": [asdict(step) for step in self.steps],
            "metrics": metrics,
            "artifact": artifact.to_record(),
        }
        return self.document

    def write(self, output_dir: Path) -> Path:
        """Write `run.json` into the output folder; whole or not at all."""
        target = output_dir / RECORD
        if reason := record_obstacle(target):
            raise UserError(f"The run's record was not written: {target} {reason}.", "Move it away.")
        output_dir.mkdir(parents=True, exist_ok=True)
        write_whole(target, sealed(self.document))
        return target
