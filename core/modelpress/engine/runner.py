"""Run a workflow: plan it, do each step that the cache lacks, measure, export, write the record."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelpress.artifact import Artifact
from modelpress.engine.export import export_model
from modelpress.engine.plan import Measurement, Plan, Step
from modelpress.engine.prepare import Prepared, fetch_model, prepare
from modelpress.engine.record import RunRecord, StepRecord
from modelpress.engine.step import JobOutcome, StepRunner
from modelpress.errors import Interrupted, UserError
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
        registry.emit(event)
        if on_event:
            on_event(event)

    with prepare(
        Path(workflow),
        registry,
        output_dir=Path(output_dir) if output_dir else None,
        cache_dir=Path(cache_dir) if cache_dir else None,
        offline=offline,
        in_process=in_process,
    ) as prepared:
        plan = fetch_model(prepared, registry, tell)
        prepared.cache.digests.keep()
        for text in (*map(str, plan.workflow.translations), *plan.notes):
            tell(Log("note", text))
        return _Run(plan, prepared, registry, tell).go()


class _Run:
    def __init__(self, plan: Plan, prepared: Prepared, registry: Registry, tell: OnEvent) -> None:
        self._plan = plan
        self._cache = prepared.cache
        self._output_dir = prepared.output_dir
        self._tell = tell
        self._runner = StepRunner(plan, prepared, registry, tell)
        self._record = RunRecord.start(plan)
        self._started = time.monotonic()
        self._number = 0
        self._total = len(plan.steps) + len(plan.measurements)

    def go(self) -> RunResult:
        output_dir = self._output_dir
        artifact = self._runner.input_model()
        self._measure(0, artifact)
        for step in self._plan.steps:
            artifact = self._do_step(step, artifact)
            self._measure(step.index, artifact)
            if output_dir and step.output_name:
                export_model(artifact, output_dir / step.output_name)
        if output_dir:
            artifact = export_model(artifact, output_dir / "model")
        record = self._record.finish(artifact, time.monotonic() - self._started)
        path = self._record.write(output_dir) if output_dir else None
        self._tell(RunFinished(str(output_dir or artifact.path), str(path or ""), record["seconds"]))
        return RunResult(artifact, record["metrics"], record)

    def _do_step(self, step: Step, model: Artifact) -> Artifact:
        done = self._watched(
            step.name, step.type_name, step.system, step.key,
            lambda on_start: self._runner.run_step(step, model, on_start),
        )  # fmt: skip
        if done.artifact is None:
            raise UserError(f"{step.name} gave no artifact.")
        self._record.add_step(StepRecord.of_step(step, done))
        return done.artifact

    def _measure(self, after: int, model: Artifact) -> None:
        for wanted in self._plan.measurements:
            if wanted.after != after:
                continue
            done = self._watched(
                wanted.name, wanted.type_name, wanted.system, wanted.key,
                self._measuring(wanted, model),
            )  # fmt: skip
            self._record.add_step(StepRecord.of_measurement(wanted, done))

    def _measuring(
        self, wanted: Measurement, model: Artifact
    ) -> Callable[[Callable[[bool], None]], JobOutcome]:
        def measure(on_start: Callable[[bool], None]) -> JobOutcome:
            done = self._runner.run_measurement(wanted, model, on_start)
            return replace(done, numbers=wanted.select(done.numbers))

        return measure

    def _watched(
        self,
        name: str,
        type_name: str,
        system: str,
        key: str,
        work: Callable[[Callable[[bool], None]], JobOutcome],
    ) -> JobOutcome:
        """Do one step with its events around it. work calls back with (resumed) when it starts."""
        started = time.monotonic()
        self._number += 1
        index = self._number

        def on_start(resumed: bool) -> None:
            self._tell(StepStarted(index, self._total, name, type_name, system, resumed))

        try:
            done = work(on_start)
        except KeyboardInterrupt:
            raise Interrupted(
                f"Interrupted in step {index} of {self._total} ({type_name}).",
                "Run the same command again to go on from there.",
            ) from None
        except Exception as error:
            folder = self._cache.job_folder(key)
            with suppress(OSError):
                self._tell(StepFailed(index, self._total, name, type_name, str(error), str(folder)))
            raise
        seconds = round(time.monotonic() - started, 3)
        self._tell(
            StepFinished(index, self._total, name, type_name, done.cached, seconds, done.size, done.summary)
        )
        return done
