"""One task of a run: from the cache, or as a job on its system, then into the cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

from modelpress.artifact import Artifact
from modelpress.context import ModelFacts
from modelpress.disk import megabytes
from modelpress.engine.away import Away, Reach
from modelpress.engine.history import close_history, told_before
from modelpress.engine.input_model import open_input
from modelpress.engine.job import Result, ship_code, write_job
from modelpress.engine.job_runner import JobRunner, Order, gone
from modelpress.engine.make_job import JobMaker
from modelpress.engine.plan import Measurement, Plan, Step
from modelpress.engine.prepare import Prepared
from modelpress.errors import ArtifactGone, DiskFull, HostError, WorkerDied
from modelpress.events import Event, Log, Progress
from modelpress.fence import fault
from modelpress.files import is_marked, mark_finished
from modelpress.json_types import JSONValue
from modelpress.records import to_json
from modelpress.registry import Registry
from modelpress.system import Handle, RegisteringSystem

_SUMMARY_NAMES = ("loss", "eval_loss", "merged_modules", "accuracy", "perplexity", "bits_per_weight")


@dataclass(frozen=True, slots=True)
class Done:
    """A finished task. model: what the step gave, or what was measured; result, notes: what the worker said
    when it was really done."""

    cached: bool
    model: Artifact
    result: Result
    notes: Sequence[str] = ()

    @property
    def size(self) -> int:
        """Bytes of the artifact; 0 for a measurement."""
        if self.result.metrics:
            return 0
        return sum(facts.size for facts in self.result.files.values()) or self.model.size

    @property
    def summary(self) -> str:
        """A few of its numbers as one short text."""
        numbers = self.result.metrics
        reports = self.result.reports
        shown: Mapping[str, JSONValue] = numbers or {
            name: reports[name] for name in _SUMMARY_NAMES if name in reports
        }
        return ", ".join(f"{name} {_short(value)}" for name, value in list(shown.items())[:4])


class TaskRunner:
    """Does the tasks of a plan."""

    def __init__(
        self,
        plan: Plan,
        prepared: Prepared,
        registry: Registry,
        tell: Callable[[Event], None],
        keep_output: Callable[[str, Path], None],
        *,
        whole: bool = False,
    ) -> None:
        """keep_output(name, file): called with what the worker printed during a task, before that goes.
        whole: whether all of the plan is done, one task after the other, so that a chain may be one
        submission; a candidate of a search may be left off in its middle."""
        self._keep_output = keep_output
        self._whole = whole
        self._plan = plan
        self._cache = prepared.cache
        self._systems = prepared.systems
        self._shared = prepared.shared
        self._offline = prepared.offline
        self._tell = tell
        self.reach = Reach(prepared.cache, prepared.systems, prepared.shared, tell)
        remotes = prepared.systems.lookup.remotes
        self._jobs = JobMaker(
            plan, prepared.cache, registry, self.reach, remotes, tell, offline=prepared.offline
        )
        workflow = str(plan.workflow.path or "")
        self.jobs = JobRunner(prepared.cache, prepared.systems, tell, workflow, prepared.detach)

    def input_model(self) -> Artifact:
        """The input model on this machine, fetched when it is elsewhere."""
        facts, workflow = self._plan.model, self._plan.workflow
        if facts.path is None or (facts.base and facts.base.path is None):
            choice = workflow.input_model
            spec, origin = choice.registered.spec, choice.registered.origin
            if not spec.fetch:
                raise fault(origin, spec.open, "it returned no path, and its spec has no `fetch`")
            context = _Fetch(self._offline, workflow.folder, self._tell)
            choice.registered.call(spec.fetch, choice.options, context)
            facts = open_input(workflow, self._cache.digests, offline=self._offline)
            if facts.path is None:
                raise fault(origin, spec.fetch, "what it fetched is not where `open` looks for it")
        for path in (facts.path, facts.base.path if facts.base else None):
            if path is not None and path.parent == self._cache.artifact_folder(path.name).parent:
                with self._cache.lock(path.name, lambda: None):
                    self._cache.hold(path.name)  # the result of an earlier run, used from the cache
        self._jobs.input_model = _input_artifact(facts)
        return self._jobs.input_model

    def here(self, model: Artifact) -> Artifact:
        """The model and its base on this machine, fetched from the system that keeps it."""
        base = self.here(model.base) if model.base else None
        return self.reach.here(replace(model, base=base))

    def register(self, model: Artifact, lineage: Mapping[str, str]) -> None:
        """Have the model that the plan ends with kept beside the system that made it, if that is asked."""
        name = self._plan.steps[-1].system
        system = self._systems.get(name)
        if system.traits.registers:
            there = self.reach.kept(model.key, name)
            keeper = cast("RegisteringSystem", system)
            given = self.reach.here(model).path if there is None else there
            keeper.register(given, model.key, lineage, self._tell)

    def do(self, task: Step | Measurement, model: Artifact, on_start: Callable[[bool], None]) -> Done:
        """Do a task on a model, or take its result from the cache. on_start(resumed): work begins."""
        try:
            with self._cache.lock(task.key, lambda: self._tell(_waiting(task.name))):
                if isinstance(task, Measurement):
                    return self._measure(task, model, on_start)
                return self._press(task, model, on_start)
        except KeyboardInterrupt:
            self.jobs.cancel_joined()
            raise

    def _press(self, step: Step, model: Artifact, on_start: Callable[[bool], None]) -> Done:
        found = self._cache.find(step.key, lambda text: self._tell(Log("warning", text)))
        if found:
            self._cache.hold(step.key)
            self._shared.offer(step.key)
            result = self._cache.result_of(step.key)
            self._finish_killed(step, result)
            self._tell_again(step)
            return Done(True, _with_base(found, model), result, self._notes(step))
        if away := self.reach.away.find(step.key):
            self._finish_killed(step, away.result)
            self._tell_again(step)
            return Done(True, self._made(step, away.result, model), away.result, self._notes(step))
        if shared := self._shared.find(step.key, model):
            return Done(True, *shared, self._notes(step))
        out, result, handle = self._work(step, model, on_start)
        made = self._made(step, result, model)
        if handle is None:
            made = self._cache.commit(out, replace(made, path=out), _made_by(step, result))
            self._cache.hold(step.key)
        else:
            place, made_by = self._systems.record(step.system), _made_by(step, result)
            self.reach.away.keep(
                Away(key=step.key, place=place, handle=handle, result=result, made_by=made_by)
            )
        self._finish(step, result)
        if handle is None:
            self._shared.offer(step.key)
        return Done(False, made, result, self._notes(step))

    def _made(self, step: Step, result: Result, model: Artifact) -> Artifact:
        base = (model.base or model) if result.base else None
        path = self._cache.artifact_folder(step.key)
        return Artifact(path, result.format, step.key, base=base, meta=result.meta)

    def _measure(self, wanted: Measurement, model: Artifact, on_start: Callable[[bool], None]) -> Done:
        found = self._cache.find_numbers(wanted.key, lambda text: self._tell(Log("warning", text)))
        if found:
            self._finish_killed(wanted, found)
            self._shared.offer_numbers(wanted.key, found)
            self._tell_again(wanted)
            return Done(True, model, wanted.select(found), self._notes(wanted))
        if shared := self._shared.find_numbers(wanted.key):
            self._tell_again(wanted)
            return Done(True, model, wanted.select(shared), self._notes(wanted))
        _, result, _ = self._work(wanted, model, on_start)
        self._cache.commit_numbers(wanted.key, result)
        self._finish(wanted, result)
        self._shared.offer_numbers(wanted.key, result)
        return Done(False, model, wanted.select(result), self._notes(wanted))

    def _finish(self, task: Step | Measurement, result: Result) -> None:
        folder = self._cache.job_folder(task.key)
        close_history(folder, result, self._cache.history_file(task.key))
        self._cache.finish_job(task.key)

    def _finish_killed(self, task: Step | Measurement, result: Result) -> None:
        """Do what is left where a run was killed after it had kept the result: its job's folder tells."""
        if not self._cache.job_folder(task.key).exists():
            return
        history = self._cache.history_file(task.key)
        if not history.exists():
            self._finish(task, result)
            return
        if not is_marked(history):
            mark_finished(history)
        self._cache.finish_job(task.key)

    def _tell_again(self, task: Step | Measurement) -> None:
        for event in told_before(self._cache.history_file(task.key)):
            self._tell(event)

    def _notes(self, task: Step | Measurement) -> list[str]:
        told = told_before(self._cache.history_file(task.key))
        return list(dict.fromkeys(event.message for event in told if isinstance(event, Log)))

    def _work(
        self, task: Step | Measurement, model: Artifact, on_start: Callable[[bool], None]
    ) -> tuple[Path, Result, Handle | None]:
        """Have the task's job done on its system. Returns its folder `out`, what the worker answered, and the
        job's handle where `out` has stayed on the system."""
        folder = self._cache.job_folder(task.key)
        try:
            return folder / "out", *self.jobs.do(self._order(task, model), on_start)
        except WorkerDied as error:
            origin = task.registered.origin
            error.message += f" It was at work on the {origin.kind} {origin.name} of {origin}."
            raise
        except ArtifactGone as error:
            self.reach.forget(model)
            raise gone(error.message.rstrip("."), task.system) from error
        except DiskFull as error:
            if isinstance(task, Step) and task.size:
                error.message += f" {task.name} writes about {megabytes(task.size)}."
            raise
        finally:
            self._keep_output(task.name, folder / "log.txt")

    def _order(self, task: Step | Measurement, model: Artifact) -> Order:
        def lay_out(folder: Path, id: str, made: Mapping[str, str]) -> None:
            system = self._systems.get(task.system)
            within = self.reach.within(model, task.system)
            write_job(folder, *self._jobs.job(task, within, id, system, made))
            if code := self._jobs.code(task, all_of_it=system.traits.ships_code):
                ship_code(folder, code)

        gives_out = isinstance(task, Step)
        then = partial(self._following, task, model) if self._whole else tuple
        return Order(task.key, task.name, task.type_name, task.system, lay_out, gives_out, then)

    def _following(self, task: Step | Measurement, model: Artifact) -> list[Order]:
        """What its system can do in the same go: the tasks of the plan after it that work on what it makes,
        or on what one of them makes, and are not done yet."""
        tasks = list(self._plan.tasks)
        at = next(number for number, each in enumerate(tasks) if each.key == task.key)
        made = {task.index: self._expected(task, model)} if isinstance(task, Step) else {task.after: model}
        orders: dict[str, Order] = {}
        for each in tasks[at + 1 :]:
            before = each.index - 1 if isinstance(each, Step) else each.after
            fits = each.system == task.system and before in made and not self._is_done(each)
            if isinstance(each, Step) and not fits:
                break
            if fits:
                orders[each.key] = self._order(each, made[before])
            if isinstance(each, Step):
                made[each.index] = self._expected(each, made[before])
        return list(orders.values())

    def _expected(self, step: Step, model: Artifact) -> Artifact:
        """What a step will give, as far as its plan tells; a base in any case, since the worker alone knows
        whether there is one."""
        foreseen = Result(format=step.facts_out.format, meta=step.facts_out.meta, base=model.key)
        return self._made(step, foreseen, model)

    def _is_done(self, task: Step | Measurement) -> bool:
        """Whether its result is there, or it is being made."""
        if self.jobs.is_submitted(task.key):
            return True
        if isinstance(task, Measurement):
            return self._cache.numbers_file(task.key).exists()
        return self._cache.artifact_folder(task.key).exists() or self.reach.away.find(task.key) is not None


def _input_artifact(facts: ModelFacts) -> Artifact:
    if facts.path is None:
        raise HostError(f"The model {facts.identity} was fetched, but its files are not there.")
    base = _input_artifact(facts.base) if facts.base else None
    return Artifact(facts.path, facts.format, facts.identity, base=base, meta=facts.meta)


def _made_by(step: Step, result: Result) -> Mapping[str, JSONValue]:
    return {
        **to_json(replace(result, files={})),
        "pass": step.type_name,
        "provider": step.registered.identity,
        "options": dict(step.resolved.key),
        "libraries": dict(step.libraries),
    }


def _with_base(artifact: Artifact, model: Artifact) -> Artifact:
    """The same adapter with its base where this run has it: the manifest's path may have moved."""
    if artifact.base is None:
        return artifact
    return Artifact(artifact.path, artifact.format, artifact.key, model.base or model, artifact.meta)


def _waiting(name: str) -> Log:
    return Log("note", f"{name}: another run is at work on this step; waiting for it.")


def _short(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return f"{int(value):,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class _Fetch:
    """The FetchContext of a run."""

    offline: bool
    folder: Path
    tell: Callable[[Event], None]

    def progress(self, done: int, total: int, unit: str) -> None:
        self.tell(Progress(done, total, unit))

    def note(self, message: str) -> None:
        self.tell(Log("note", message))
