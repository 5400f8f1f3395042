"""Run a workflow: plan it, do each step that the cache lacks, measure, export, write the record."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from modelpress.artifact import Artifact
from modelpress.config.given import Given
from modelpress.engine.cache_cleaning import tidy
from modelpress.engine.card import Made, made_by, write_card
from modelpress.engine.export import export_model
from modelpress.engine.goals import Judge, Judgement
from modelpress.engine.lineage import lineage
from modelpress.engine.load import format_of
from modelpress.engine.observers import Observers
from modelpress.engine.packaging import package
from modelpress.engine.plan import Measurement, Plan, Step
from modelpress.engine.prepare import Prepared, complete_plan, prepare
from modelpress.engine.record import StepRecord
from modelpress.engine.run_keeper import RunKeeper, missed
from modelpress.engine.search.study import Study
from modelpress.engine.search.winner import write_workflow
from modelpress.engine.step import TaskRunner
from modelpress.engine.systems import OpenSystem
from modelpress.errors import GoalsMissed, Interrupted, ModelpressError
from modelpress.events import Event, Log, RunFinished, RunStarted, StepFailed, StepFinished, StepStarted
from modelpress.json_types import JSONValue
from modelpress.machine import refusal
from modelpress.observer import Observed
from modelpress.registry import Registry
from modelpress.usage import Usage

OnEvent = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run gave.

    artifact:   the last step's model; in output_dir when the workflow has one, else in the cache. The input
                model where it lies, when there are no passes
    metrics:    full metric name (`accuracy`, `latency_p50_ms`) -> value, of the final model
    input_metrics: the same of the input model, where it was measured to compare with
    intervals:  (low, high) of those metrics that said how sure they are: 19 of 20 repetitions lie between
    goals:      what became of each goal, in the order in which they were measured
    run_record: the record as JSON values; also in `run.json` in output_dir
    usage:      how the model that was made is used, where the plugin of its format says so
    """

    artifact: Artifact
    metrics: Mapping[str, float]
    goals: Sequence[Judgement]
    run_record: Mapping[str, JSONValue]
    usage: Usage | None = None
    input_metrics: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def run(
    workflow: Given,
    *,
    output_dir: Path | None = None,
    cache_dir: Path | None = None,
    offline: bool = False,
    instead: OpenSystem | None = None,
    on_event: OnEvent | None = None,
    detach: Callable[[], bool] = lambda: False,
    leave_workflow: bool = False,
) -> RunResult:
    """Run a workflow.

    output_dir, cache_dir: instead of the workflow's own
    offline:    no network at all
    instead:    opens every system, instead of the plugin that brings it
    on_event:   called with each event, in the caller's thread
    detach:     asked at an interruption: whether jobs that can go on without the run are to do so
    leave_workflow: whether output_dir gets a file that does the same again, as it does after a search

    Raises WorkflowError with every problem before any work; PassError, HostError, Interrupted … during it.
    """
    registry = Registry.load()

    def tell(event: Event) -> None:
        for shown in (*registry.emit(event), event):
            if on_event:
                on_event(shown)

    with prepare(
        workflow,
        registry,
        output_dir=output_dir,
        cache_dir=cache_dir,
        offline=offline,
        instead=instead,
    ) as prepared:
        prepared = replace(prepared, detach=detach)
        plan = prepared.plan.whole()  # nothing is written where there is a problem
        tidy(prepared.cache)
        prepared.cache.hold_shared()
        keeper = RunKeeper(plan, prepared.cache.runs_folder, prepared.output_dir)

        def show(event: Event) -> None:
            for told in observers.see(event):
                log(told)
            tell(event)

        def log(event: Event) -> None:
            keeper.log(event)
            show(event)

        workflow_id, folder = plan.workflow.workflow_id, plan.workflow.folder
        watched = Observed(
            keeper.record.id, workflow_id, keeper.path, folder, prepared.output_dir, offline,
            lambda text: log(Log("note", text)),
        )  # fmt: skip
        observers = Observers((), watched)
        try:
            observers = Observers(plan.workflow.observers, watched)
            for told in observers.told:
                log(told)
            prepared.shared.open(log)
            plan = complete_plan(prepared, registry, log)
            keeper.planned(plan)
            prepared.cache.digests.keep()
            begin(plan, keeper, log)
            leave_workflow = leave_workflow or plan.workflow.search is not None
            plan = decide(plan, prepared, registry, log, keeper)
            result = _Run(plan, prepared, registry, show, keeper).go()
            prepared.shared.close(log)
            if leave_workflow and prepared.output_dir:
                write_workflow(plan.workflow, prepared.output_dir)
            return result
        except BaseException as error:
            keeper.fail(error)
            raise
        finally:
            for told in observers.close():
                log(told)
            keeper.close()
            prepared.cache.digests.keep()


def begin(plan: Plan, keeper: RunKeeper, tell: OnEvent) -> None:
    """Tell that the run begins, and what its plan has to say."""
    record, workflow = keeper.record, plan.workflow
    total = len(list(plan.tasks))
    tell(RunStarted(record.id, record.workflow_id, total, record.log, workflow.log_severity_level))
    for text in (*map(str, workflow.translations), *plan.notes):
        tell(Log("note", text))


def decide(plan: Plan, prepared: Prepared, registry: Registry, tell: OnEvent, keeper: RunKeeper) -> Plan:
    """The plan in which nothing is open: the best that a search finds, where something was."""
    search = plan.workflow.search
    if search is None:
        return plan

    def runner(of: Plan, tell: OnEvent) -> TaskRunner:
        return TaskRunner(of, prepared, registry, tell, keeper.log.take_output)

    return Study(plan, search, prepared, registry, runner, tell, keeper.searched).run()


class _Run:
    def __init__(
        self, plan: Plan, prepared: Prepared, registry: Registry, tell: OnEvent, keeper: RunKeeper
    ) -> None:
        self._plan = plan
        self._cache = prepared.cache
        self._output_dir = prepared.output_dir
        self._observe = tell
        self._keeper = keeper
        self._judge = Judge()
        self._registry = registry
        self._exported: list[tuple[Artifact, int]] = []
        take = keeper.log.take_output
        self._tasks = TaskRunner(plan, prepared, registry, self._tell, take, whole=True)

    def go(self) -> RunResult:
        workflow, output_dir, keeper = self._plan.workflow, self._output_dir, self._keeper
        tasks = list(self._plan.tasks)
        artifact = self._tasks.input_model()
        for number, task in enumerate(tasks, start=1):
            artifact = self._do(task, artifact, number, len(tasks))
            if output_dir and isinstance(task, Step) and task.output_name:
                self._export(artifact, output_dir / task.output_name, task.index)
        if self._plan.steps:  # a model that was only measured stays where it is
            self._tasks.register(artifact, lineage(keeper.record))
            artifact = self._tasks.here(artifact)
            if output_dir:
                artifact = self._export(artifact, output_dir / "model", len(self._plan.steps))
            keeper.made(artifact)
        self._write_cards()
        usage = self._usage(artifact) if self._plan.steps else None
        if output_dir:
            for wanted in workflow.packages:
                self._tell(Log("note", f"{package(wanted, artifact, usage, output_dir)} is packed."))
        wrong = missed(self._judge.judgements)
        if workflow.require_goals and wrong:
            told = f"The model misses its goals: {'; '.join(wrong)}."
            raise GoalsMissed(told, f"It is in {artifact.path}.")
        path = keeper.finish()
        record = keeper.record
        self._tell(RunFinished(str(output_dir or artifact.path), str(path or ""), record.seconds))
        return RunResult(
            artifact,
            record.metrics,
            self._judge.judgements,
            keeper.as_json(),
            usage,
            record.input_metrics,
            record.intervals,
        )

    def _export(self, artifact: Artifact, target: Path, passes: int) -> Artifact:
        """Copy the model after so many passes to where the user wants it."""
        exported = export_model(self._tasks.here(artifact), target, self._cache.digests)
        self._exported.append((exported, passes))
        return exported

    def _write_cards(self) -> None:
        """At the end, when what was measured is known. The models are there: what fails here is told only."""
        record = self._keeper.record
        for artifact, passes in self._exported:
            summary = format_of(artifact, self._registry).spec.summary
            made = Made(artifact, *made_by(record, passes), summary, self._usage(artifact))
            try:
                if write_card(made, record) is None:
                    self._tell(Log("note", f"{artifact.path} has a card that was edited: it stays as it is."))
            except OSError as error:
                message, hint = refusal(f"The card of {artifact.path} was not written", error)
                self._tell(Log("warning", f"{message} {hint}".rstrip()))

    def _usage(self, artifact: Artifact) -> Usage | None:
        known = format_of(artifact, self._registry)
        try:
            return known.call(known.spec.usage, artifact) if known.spec.usage else None
        except ModelpressError as error:  # hours of work are not thrown away for a sentence
            self._tell(Log("warning", f"How {artifact.path} is used is not told: {error.message}"))
            return None

    def _tell(self, event: Event) -> None:
        self._keeper.log(event)
        self._observe(event)

    def _do(self, task: Step | Measurement, model: Artifact, number: int, total: int) -> Artifact:
        """One task with its events around it. Returns the model that the next one is given."""
        started, began = time.monotonic(), time.time()
        title = (number, total, task.name, task.type_name)
        try:
            done = self._tasks.do(
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
        goals = self._judge.see(task, done.result) if isinstance(task, Measurement) else ()
        self._keeper.add(StepRecord.of(task, done, goals, started=began))
        self._tell(StepFinished(*title, done.cached, seconds, done.size, done.summary))
        return done.model
