"""Candidates of a search: planned, done task by task, several at once where the systems allow, judged.

What two candidates have in common is done by the first that comes to it; the other waits for it.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from modelpress.artifact import Artifact
from modelpress.disk import disk_full, is_disk_full
from modelpress.engine.cache import Cache
from modelpress.engine.goals import Judge, Judgement
from modelpress.engine.history import Reported, reported
from modelpress.engine.job import ErrorRecord
from modelpress.engine.places import target_of
from modelpress.engine.plan import Measurement, Plan, Step
from modelpress.engine.scheduler import Scheduler, Work
from modelpress.engine.search.halving import Halving
from modelpress.engine.search.objectives import miss_of_all
from modelpress.engine.search.plans import CandidatePlans
from modelpress.engine.search.pruning import Pruning, SoFar, Verdict
from modelpress.engine.search.record import CandidateRecord, Status, TaskRecord
from modelpress.engine.step import Done, TaskRunner
from modelpress.errors import (
    DiskFull,
    HostError,
    Interrupted,
    ModelpressError,
    PassError,
    Pruned,
    recorded_name,
)
from modelpress.events import Event, StepFailed, StepFinished, StepStarted
from modelpress.json_types import Scalar
from modelpress.search import Candidate
from modelpress.system import Tell


class Unmeasured(PassError):
    """What is measured on the target cannot be measured here."""


STOPS_THE_RUN = (HostError, DiskFull, Interrupted)
"""No candidate's fault: the run ends, and goes on there when it is started again."""
NewRunner = Callable[[Plan, Tell], TaskRunner]
Task = Step | Measurement


@dataclass(frozen=True, slots=True)
class Order:
    """A candidate that is to be done.

    before: those whose outcome the sampler knew when it asked for this one: what is pruned is compared with
            them alone, so that it does not depend on who was faster
    best:   the best of them, which it has to beat
    prune:  whether it is left off where it cannot be chosen
    """

    number: int
    stage: int
    choices: Candidate
    before: Sequence[CandidateRecord] = ()
    best: CandidateRecord | None = None
    prune: bool = True


class Candidates:
    """Does candidates.

    tell:     in the thread that calls `begin` and `wait`
    finished: called with the record of each, whatever became of it
    """

    def __init__(
        self,
        plans: CandidatePlans,
        new_runner: NewRunner,
        scheduler: Scheduler[Done],
        tell: Tell,
        cache: Cache,
        pruning: Pruning,
        halving: Halving,
        finished: Callable[[CandidateRecord], None],
    ) -> None:
        self.plans = plans
        self.cache = cache
        self.tell = tell
        self.pruning = pruning
        self.halving = halving
        self._scheduler = scheduler
        self._new_runner = new_runner
        self._finished = finished
        self._under_way: list[UnderWay] = []
        self._waiting: dict[str, list[UnderWay]] = {}
        self._done: dict[str, Exception | None] = {}
        """Keys of the tasks that were done in this run, with what went wrong."""

    def begin(self, order: Order) -> None:
        """Plan a candidate and begin with it. Raises only what is no fault of it: see STOPS_THE_RUN."""
        one = UnderWay(order, self)
        self._under_way.append(one)
        self._go_on(one, partial(one.plan, self._new_runner))

    def wait(self) -> None:
        """Until one of the tasks at work has ended. Raises what is no candidate's fault."""
        ended = next(self._scheduler.ended())
        key = ended.work.key
        self._done[key] = ended.error
        first, *others = self._waiting.pop(key)
        self._go_on(first, partial(first.take, ended.value, ended.error))
        for other in others:
            self._go_on(other)

    @property
    def at_work(self) -> bool:
        return bool(self._under_way)

    def stop(self) -> None:
        """End what is at work."""
        for one in self._under_way:
            one.stop()

    def _go_on(self, one: UnderWay, first: Callable[[], None] = lambda: None) -> None:
        """Do what is to be done first, then begin with the candidate's next task, or end it."""
        try:
            first()
            while task := one.next():
                if task.key not in self._done:
                    self._order(one, task)
                    return
                if error := self._done[task.key]:
                    raise error
                one.take(one.do(task, self.tell), None)  # another did it: it is in the cache
            one.require_measured()
            record = one.record("finished")
        except STOPS_THE_RUN:
            raise
        except Pruned as error:
            record = one.record("pruned", error)
        except Unmeasured as error:
            record = one.record("unmeasured", error)
        except Exception as error:
            if is_disk_full(error, self.cache.folder):
                raise disk_full(self.cache.folder) from error
            record = one.record("failed", error)
        self._under_way.remove(one)
        self._finished(record)

    def _order(self, one: UnderWay, task: Task) -> None:
        waiting = self._waiting.setdefault(task.key, [])
        waiting.append(one)
        if len(waiting) == 1:
            alone = task.registered.spec.alone
            self._scheduler.add(Work(task.key, task.system, partial(one.do, task), alone=alone))


@dataclass(slots=True)
class UnderWay:
    """A candidate that is at work."""

    order: Order
    among: Candidates
    _plan: Plan | None = None
    _runner: TaskRunner | None = None
    _artifact: Artifact | None = None
    _left: list[Task] = field(default_factory=list)
    _total: int = 0
    _tell: Tell | None = None
    _judge: Judge = field(default_factory=Judge)
    _verdict: Verdict | None = None
    _tasks: list[TaskRecord] = field(default_factory=list)
    _metrics: dict[str, float | None] = field(default_factory=dict)
    _goals: list[Judgement] = field(default_factory=list)
    _begun: float = field(default_factory=time.monotonic)
    _at: float = field(default_factory=time.time)
    _task_at: float = 0.0

    def plan(self, new_runner: NewRunner) -> None:
        """Raises WorkflowError where it cannot be planned."""
        self._plan = self.among.plans.plan(self.order.choices)
        self._left = self.among.pruning.ordered(self._plan, parts=self.order.prune)
        self._total = len(self._left)
        self._runner = new_runner(self._plan, self._pass_on)
        self._artifact = self._runner.input_model()

    def next(self) -> Task | None:
        """The task that comes next; None when all are done. Raises Pruned where it is not worth while."""
        if not self._left or self._plan is None:
            return None
        task = self._left[0]
        if self.order.prune:
            best = self.order.best
            so_far = SoFar(self._plan, task, self._metrics, self._goals, self._judge, best)
            self._end_by(self.among.pruning.verdict(so_far))
        return task

    def do(self, task: Task, tell: Tell) -> Done:
        """Do a task, in whatever thread. tell: reaches the caller's."""
        if self._runner is None or self._artifact is None:
            raise TypeError("It is not planned.")
        self._task_at = time.time()
        watch = self.among.halving.watch
        self._tell = watch(task, self._curve(task), self.order.before, tell) if self.order.prune else tell
        title = self._title(task)
        return self._runner.do(
            task, self._artifact, lambda resumed: tell(StepStarted(*title, task.system, resumed))
        )

    def take(self, done: Done | None, error: Exception | None) -> None:
        """The task that came next is done. Raises the error, and PassError where a number is missing."""
        task = self._left[0]
        title = self._title(task)
        if done is None:
            if isinstance(error, Pruned):
                self._tasks.append(self._task_record(task, None))
            else:
                self.among.tell(StepFailed(*title, str(error), ""))
            raise error or TypeError("A task gave nothing.")
        took = round(time.time() - self._task_at, 3)
        self.among.tell(StepFinished(*title, done.cached, took, done.size, done.summary))
        del self._left[0]
        self._tasks.append(self._task_record(task, done))
        self._artifact = done.model
        if isinstance(task, Measurement):
            self._measured(task, done)

    def require_measured(self) -> None:
        """Raises Unmeasured where the plan left out what is measured on the target, which is not here."""
        if self._plan is None:
            return
        workflow, planned = self._plan.workflow, {task.choice.path for task in self._plan.measurements}
        absent = [metric.name for metric in workflow.passes[-1].metrics if metric.path not in planned]
        if absent:
            provider = target_of(workflow).execution_provider
            raise Unmeasured(f"{', '.join(absent)} not measured: there is no {provider} here.")

    def stop(self) -> None:
        if self._runner is not None:
            self._runner.jobs.cancel_all()

    def record(self, status: Status, error: Exception | None = None) -> CandidateRecord:
        goals = [] if status == "failed" else self._goals
        miss = self._verdict.miss if self._verdict else miss_of_all(goals)
        return CandidateRecord(
            number=self.order.number,
            stage=self.order.stage,
            choices=dict(self.order.choices),
            status=status,
            tasks=self._tasks,
            artifact=next((t.key for t in reversed(self._tasks) if t.kind == "pass" and t.size), ""),
            metrics=self._metrics,
            goals=goals,
            miss=miss,
            seconds=round(time.monotonic() - self._begun, 3),
            started=round(self._at, 3),
            error=_recorded(error) if error else None,
        )

    def _measured(self, task: Measurement, done: Done) -> None:
        last = self._plan is not None and task.after == len(self._plan.steps)
        if task.is_part:
            if last:
                self._end_by(self.among.pruning.of_part(task, done.result, self._judge))
            return
        if last and not task.is_baseline:
            self._metrics |= _numbers(done.result.metrics)
            _require_numbers(task, self._metrics)
        judged = self._judge.see(task, done.result)
        if last:
            self._goals += judged

    def _end_by(self, verdict: Verdict | None) -> None:
        self._verdict = verdict
        if verdict:
            raise Pruned(verdict.reason)

    def _title(self, task: Task) -> tuple[int, int, str, str]:
        return self._total - len(self._left) + 1, self._total, task.name, task.type_name

    def _pass_on(self, event: Event) -> None:
        (self._tell or self.among.tell)(event)

    def _curve(self, task: Task) -> list[Reported]:
        loss = task.registered.spec.loss if isinstance(task, Step) else ""
        cache = self.among.cache
        return reported(cache.history_file(task.key), cache.job_folder(task.key), loss) if loss else []

    def _task_record(self, task: Task, done: Done | None) -> TaskRecord:
        """done: None for a training that was ended."""
        steps, losses = self.among.halving.rungs(self._curve(task))
        return TaskRecord(
            name=task.name,
            type=task.type_name,
            kind=task.registered.spec.kind,
            key=task.key,
            cached=done.cached if done else False,
            started=round(self._task_at, 3),
            seconds=done.result.seconds if done else round(time.time() - self._task_at, 3),
            after=task.after if isinstance(task, Measurement) else 0,
            peak_memory=done.result.peak_memory if done else 0,
            size=done.size if done else 0,
            losses=losses,
            steps=steps,
        )


def _require_numbers(task: Measurement, found: Mapping[str, float | None]) -> None:
    """What is to be compared, or has a goal, has to be a number."""
    wanted = [sub.numbers[0] for sub in task.choice.sub_metrics] or list(task.registered.spec.gives)[:1]
    for name in wanted:
        if found.get(name) is None:
            raise PassError(f"{task.name} gives no number {name}: the candidate cannot be compared.")


def _numbers(metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def _recorded(error: Exception) -> ErrorRecord:
    if isinstance(error, ModelpressError):
        return ErrorRecord(recorded_name(error), error.message, error.hint)
    return ErrorRecord(type(error).__name__, str(error) or repr(error))


def choices_text(candidate: Mapping[str, Scalar]) -> str:
    """`quantize Rtn, group_size 32`: the last word of each axis, where that tells it apart."""
    told = []
    for axis, value in candidate.items():
        name = axis.partition("#")[0]
        short = name.rpartition(".")[2]
        if sum(other.partition("#")[0].rpartition(".")[2] == short for other in candidate) > 1:
            short = name.removeprefix("passes.")
        told.append(f"{short} {_shown(value)}")
    return ", ".join(told)


def _shown(value: Scalar) -> str:
    return (
        f"{value:.4g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
    )
