"""One candidate of a search: planned, done task by task, judged."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from modelpress.config.workflow import Workflow, WorkflowDraft
from modelpress.engine.goals import Judge, Judgement
from modelpress.engine.job import ErrorRecord
from modelpress.engine.plan import Measurement, Plan, PlanDraft, Step
from modelpress.engine.planner import make_plan
from modelpress.engine.prepare import Prepared
from modelpress.engine.search.objectives import miss_of_all
from modelpress.engine.search.record import CandidateRecord, Status, TaskRecord
from modelpress.engine.step import Done, TaskRunner
from modelpress.errors import DiskFull, HostError, Interrupted, ModelpressError, PassError, recorded_name
from modelpress.events import Event, StepFailed, StepFinished, StepStarted
from modelpress.json_types import Scalar
from modelpress.registry import Registry
from modelpress.search import Candidate

STOPS_THE_RUN = (HostError, DiskFull, Interrupted)
"""No candidate's fault: the run ends, and goes on there when it is started again."""


class CandidatePlans:
    """Plans of candidates: all of them share the input model, the systems and the cache."""

    def __init__(self, base: Plan, prepared: Prepared, registry: Registry) -> None:
        self._base = base
        self._prepared = prepared
        self._registry = registry

    def draft(self, candidate: Candidate) -> PlanDraft:
        """The plan of a candidate; what is wrong with it is in its problems."""
        return plan_candidate(self._base.workflow, candidate, self._prepared, self._registry)

    def plan(self, candidate: Candidate) -> Plan:
        """The plan of a candidate. Raises WorkflowError."""
        return self.draft(candidate).whole()


def plan_candidate(
    base: Workflow | WorkflowDraft, candidate: Candidate, prepared: Prepared, registry: Registry
) -> PlanDraft:
    """The plan of one candidate of the workflow that is prepared."""
    if base.search is None:
        raise TypeError("Nothing is open in this workflow.")
    draft = base.search.decide(candidate)
    if base.input_model is not None:
        draft = replace(draft, input_model=base.input_model)  # fetched, where it was elsewhere
    return make_plan(
        draft, registry, prepared.cache, prepared.systems, offline=prepared.offline, output_dir=None
    )


@dataclass(slots=True)
class _Work:
    """What has been done of a candidate."""

    tasks: list[TaskRecord] = field(default_factory=list)
    metrics: dict[str, float | None] = field(default_factory=dict)
    goals: list[Judgement] = field(default_factory=list)
    artifact: str = ""


class CandidateRunner:
    """Does candidates one after the other."""

    def __init__(
        self,
        plans: CandidatePlans,
        runner: Callable[[Plan], TaskRunner],
        tell: Callable[[Event], None],
    ) -> None:
        self._plans = plans
        self._runner = runner
        self._tell = tell

    def run(self, number: int, stage: int, candidate: Candidate) -> CandidateRecord:
        """Plan, build and measure a candidate. Whatever fails of it is in its record; raises only what is no
        fault of it: see STOPS_THE_RUN."""
        begun, at = time.monotonic(), time.time()
        work = _Work()
        status: Status = "finished"
        error: ErrorRecord | None = None
        try:
            self._do(self._plans.plan(candidate), work)
        except STOPS_THE_RUN:
            raise
        except Exception as failure:  # noqa: BLE001 - whatever a candidate does, the others go on
            status, error = "failed", _recorded(failure)
        return CandidateRecord(
            number=number,
            stage=stage,
            choices=dict(candidate),
            status=status,
            tasks=work.tasks,
            artifact=work.artifact,
            metrics=work.metrics,
            goals=work.goals if error is None else [],
            miss=miss_of_all(work.goals) if error is None else 0.0,
            seconds=round(time.monotonic() - begun, 3),
            started=round(at, 3),
            error=error,
        )

    def _do(self, plan: Plan, work: _Work) -> None:
        tasks = list(plan.tasks)
        runner = self._runner(plan)
        artifact = runner.input_model()
        judge = Judge()
        for index, task in enumerate(tasks, start=1):
            title = (index, len(tasks), task.name, task.type_name)
            at, begun = time.time(), time.monotonic()

            try:
                done = runner.do(task, artifact, partial(self._tell_start, title, task.system))
            except Exception as failure:
                self._tell(StepFailed(*title, str(failure), ""))
                raise
            took = round(time.monotonic() - begun, 3)
            self._tell(StepFinished(*title, done.cached, took, done.size, done.summary))
            work.tasks.append(_task_record(task, done, at))
            artifact = done.model
            if isinstance(task, Step):
                work.artifact = task.key
            else:
                if task.after == len(plan.steps) and not task.is_baseline:
                    work.metrics |= _numbers(done.result.metrics)
                    _require_numbers(task, work.metrics)
                judged = judge.see(task, done.result)
                work.goals += judged if task.after == len(plan.steps) else ()

    def _tell_start(self, title: tuple[int, int, str, str], system: str, resumed: bool) -> None:
        self._tell(StepStarted(*title, system, resumed))


def _require_numbers(task: Measurement, found: Mapping[str, float | None]) -> None:
    """What is to be compared, or has a goal, has to be a number."""
    wanted = [sub.numbers[0] for sub in task.choice.sub_metrics] or [next(iter(task.registered.spec.gives))]
    for name in wanted:
        if found.get(name) is None:
            raise PassError(f"{task.name} gives no number {name}: the candidate cannot be compared.")


def _numbers(metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def _task_record(task: Step | Measurement, done: Done, at: float) -> TaskRecord:
    return TaskRecord(
        name=task.name,
        type=task.type_name,
        kind=task.registered.spec.kind,
        key=task.key,
        cached=done.cached,
        started=round(at, 3),
        seconds=done.result.seconds,
        after=task.after if isinstance(task, Measurement) else 0,
        peak_memory=done.result.peak_memory,
        size=done.size,
    )


def _recorded(error: Exception) -> ErrorRecord:
    if isinstance(error, ModelpressError):
        return ErrorRecord(recorded_name(error), error.message, error.hint)
    return ErrorRecord(type(error).__name__, str(error) or repr(error))


def choices_text(candidate: Mapping[str, Scalar]) -> str:
    """`quantize Rtn, group_size 32`: the last word of each axis, where that tells it apart."""
    told = []
    for name, value in candidate.items():
        short = name.rpartition(".")[2]
        if sum(other.rpartition(".")[2] == short for other in candidate) > 1:
            short = name.removeprefix("passes.")
        told.append(f"{short} {_shown(value)}")
    return ", ".join(told)


def _shown(value: Scalar) -> str:
    return (
        f"{value:.4g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
    )
