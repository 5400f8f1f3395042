"""Run a workflow: plan it, do each step that the cache lacks, measure, export, write the record."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelpress.artifact import Artifact
from modelpress.engine.export import export_model
from modelpress.engine.plan import Measurement, Plan, Step
from modelpress.engine.prepare import Prepared, fetch_model, prepare
from modelpress.engine.record import RunRecord, StepRecord
from modelpress.engine.step import TaskRunner
from modelpress.errors import Interrupted
from modelpress.events import Event, Log, RunFinished, StepFailed, StepFinished, StepStarted
from modelpress.registry import Registry

OnEvent = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run gave.

    artifact:   the last step's model; in output_dir when the workflow has one, else in the cache
    metrics:    full metric name (`accuracy`, `latency_p50_ms`) -> value, of the final model
    run_record: the record as JSON values; also in `run.json` in output_dir
    """

    artifact: Artifact
    metrics: Mapping[str, float]
    run_record: Mapping[str, Any]


def run(
    workflow: str | Path,
    *,
    output_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    offline: bool = False,
    in_process: bool = False,
    on_event: OnEvent | None = None,
) -> RunResult:
    """Run the workflow in a YAML or JSON file.

    output_dir, cache_dir: instead of the workflow's own
    offline:    no network at all
    in_process: run passes in this process (for debuggers), not in a worker
    on_event:   called with each event, in the caller's thread

    Raises WorkflowError with every problem before any work; PassError, HostError, Interrupted … during it.
    """
    registry = Registry.load()

    def tell(event: Event) -> None:
        for shown in (*registry.emit(event), event):
            if on_event:
                on_event(shown)

    with prepare(
        Path(workflow),
        registry,
        output_dir=Path(output_dir) if output_dir else None,
        cache_dir=Path(cache_dir) if cache_dir else None,
        offline=offline,
        in_process=in_process,
    ) as prepared:
        prepared.plan.whole()  # nothing is written where there is a problem
        prepared.cache.tidy()
        prepared.cache.hold_shared()
        plan = fetch_model(prepared, registry, tell)
        prepared.cache.digests.keep()
        for text in (*map(str, plan.workflow.translations), *plan.notes):
            tell(Log("note", text))
        result = _Run(plan, prepared, registry, tell).go()
        prepared.cache.digests.keep()
        return result


class _Run:
    def __init__(self, plan: Plan, prepared: Prepared, registry: Registry, tell: OnEvent) -> None:
        self._plan = plan
        self._cache = prepared.cache
        self._output_dir = prepared.output_dir
        self._tell = tell
        self._runner = TaskRunner(plan, prepared, registry, tell)
        self._record = RunRecord.start(plan)
        self._started = time.monotonic()

    def go(self) -> RunResult:
        output_dir = self._output_dir
        artifact = self._runner.input_model()
        tasks = list(self._plan.tasks)
        for number, task in enumerate(tasks, start=1):
            artifact = self._do(task, artifact, number, len(tasks))
            if output_dir and isinstance(task, Step) and task.output_name:
                export_model(artifact, output_dir / task.output_name, self._cache.digests)
        if output_dir:
            artifact = export_model(artifact, output_dir / "model", self._cache.digests)
        record = self._record.finish(artifact, time.monotonic() - self._started)
        path = self._record.write(output_dir) if output_dir else None
        self._tell(RunFinished(str(output_dir or artifact.path), str(path or ""), record["seconds"]))
        return RunResult(artifact, record["metrics"], record)

    def _do(self, task: Step | Measurement, model: Artifact, number: int, total: int) -> Artifact:
        """One task with its events around it. Returns the model that the next one is given."""
        started = time.monotonic()
        title = (number, total, task.name, task.type_name)
        try:
            done = self._runner.do(
                task, model, lambda resumed: self._tell(StepStarted(*title, task.system, resumed))
            )
        except KeyboardInterrupt:
            raise Interrupted(
                f"Interrupted in step {number} of {total} ({task.type_name}).",
                "Run the same command again to go on from there.",
            ) from None
        except Exception as error:
            folder = self._cache.job_folder(task.key)
            with suppress(OSError):
                self._tell(StepFailed(*title, str(error), str(folder)))
            raise
        seconds = round(time.monotonic() - started, 3)
        self._tell(StepFinished(*title, done.cached, seconds, done.size, done.summary))
        self._record.add_step(StepRecord.of(task, done))
        return done.model
