"""Make the plan of a workflow: check all that can be known before any work, and tell every problem at once.

Nothing heavy is imported and nothing is written. `modelpress plan` stops here; a run goes on from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from modelpress.config.workflow import (
    DataChoice,
    MetricChoice,
    ModelChoice,
    PassChoice,
    Unfit,
    WorkflowDraft,
)
from modelpress.context import DataFacts, ModelFacts
from modelpress.disk import check_disk
from modelpress.engine.cache import Cache
from modelpress.engine.goals import compares_with_input, goals
from modelpress.engine.input_model import format_told, input_key, open_model
from modelpress.engine.inputs import ResolvedOptions, resolve_options
from modelpress.engine.keys import step_key, threads_here
from modelpress.engine.libraries import Libraries, requires_of
from modelpress.engine.places import Places, host_device, target_system
from modelpress.engine.plan import DataPlan, Measurement, PlanDraft, S, Step, Task
from modelpress.engine.plan_context import Findings, StepContext
from modelpress.engine.plan_memo import PlanMemo
from modelpress.engine.systems import OpenSystems
from modelpress.json_types import JSONValue
from modelpress.markers import NotFetched, resource_refs
from modelpress.memory import available_memory
from modelpress.options import Options
from modelpress.registry import Registered, Registry
from modelpress.specs import ANY_TARGET, PassSpec, Spec
from modelpress.system import NO_NEEDS, Needs

T = TypeVar("T")


def make_plan(
    draft: WorkflowDraft,
    registry: Registry,
    cache: Cache,
    systems: OpenSystems,
    *,
    offline: bool = False,
    output_dir: Path | None = None,
    parts: bool = False,
    memo: PlanMemo | None = None,
) -> PlanDraft:
    """Plan a workflow as far as it can be. What is wrong is added to the draft's problems, not raised.

    parts: whether dear metrics with goals look at a first part of their data, too
    memo:  of other candidates of the same workflow
    """
    planner = _Planner(draft, registry, cache, systems, offline, parts=parts, memo=memo or PlanMemo())
    return planner.plan(output_dir)


class _Planner:
    def __init__(
        self,
        draft: WorkflowDraft,
        registry: Registry,
        cache: Cache,
        systems: OpenSystems,
        offline: bool,
        *,
        parts: bool,
        memo: PlanMemo,
    ) -> None:
        self._draft = draft
        self._problems = draft.problems
        self._findings = Findings(draft, draft.problems)
        self._places = Places(draft, systems, self._findings)
        self._libraries = Libraries(draft, registry, systems, self._findings)
        self._systems = systems
        self._cache = cache
        self._offline = offline
        self._parts = parts
        self._memo = memo
        self._lookup = systems.lookup
        model = draft.input_model
        self._is_elsewhere = isinstance(model, ModelChoice) and bool(resource_refs(model.options))
        self._data: dict[str, DataPlan] = {}
        self._not_input: tuple[Path, ...] = ()
        """Folders that a run writes to: they may lie in the input model's folder, and are no part of it."""

    def plan(self, output_dir: Path | None) -> PlanDraft:
        self._not_input = tuple(path.resolve() for path in (self._cache.folder, output_dir) if path)
        model = self._once("input model", self._place(), make=self._input_model)
        self._check_systems()
        self._data = {
            name: self._once("data", name, _told(choice), make=partial(self._data_plan, choice))
            for name, choice in self._draft.data.items()
        }
        steps = self._steps(model)
        measurements = self._measurements(model, steps)
        self._libraries.tell()
        memory = self._memory(steps)
        return PlanDraft(
            workflow=self._draft,
            model=model,
            steps=steps,
            measurements=measurements,
            notes=self._findings.notes,
            disk_needed=self._disk(steps, output_dir),
            memory_needed=memory,
        )

    def _once(self, *key: str, make: Callable[[], T], system: str = "") -> T:
        """A part that may be known from another candidate. system: where it is done; where something is
        missing there, it is planned each time."""
        return self._memo.once(
            key,
            self._findings,
            make,
            lambda part: part is not None and (not system or self._libraries.complete(system)),
        )

    def _place(self) -> str:
        return repr((self._places.target, host_device(self._draft), self._draft.seed))

    def _input_model(self) -> ModelFacts | None:
        choice = self._draft.input_model
        if isinstance(choice, Unfit):
            return None
        context = self._context("input_model", "input_model")
        context.device, context.target = host_device(self._draft), self._places.target
        if self._is_elsewhere:
            context.note("It is fetched before the first step; what its files decide is checked then.")
        return open_model(choice, context, self._cache.digests, self._not_input)

    def _check_systems(self) -> None:
        """Files that the options of systems name have to be there, like those of passes."""
        for choice in self._draft.systems.values():
            context = self._context(choice.path, choice.name)
            resolve_options(choice.options, choice.name, self._lookup, context.tell)

    def _data_plan(self, choice: DataChoice) -> DataPlan:
        spec = choice.registered.spec
        context = self._context(choice.path, choice.name)
        before = len(self._problems)
        prefix = f"data-{list(self._draft.data).index(choice.name)}"
        resolved = resolve_options(choice.options, prefix, self._lookup, context.tell)
        facts = DataFacts()
        if spec.describe and len(self._problems) == before:
            with suppress(NotFetched):
                facts = choice.registered.call(spec.describe, resolved.here, context)
        fingerprint: dict[str, JSONValue] = {
            "container": spec.name,
            "version": spec.version,
            "provider": choice.registered.identity,
            "options": resolved.key,
        }
        return DataPlan(choice, resolved, fingerprint, facts)

    def _steps(self, model: ModelFacts | None) -> list[Step]:
        steps: list[Step] = []
        facts, before = model, "the input model"
        known_format = model.format if model else format_told(self._draft.input_model)
        key = input_key(model) if model else ""
        for index, choice in enumerate(self._draft.passes, start=1):
            fits = not known_format or not choice.accepts or known_format in choice.accepts
            if not fits:
                self._tell_misfit(index, choice, known_format, before)
            step = None
            if isinstance(choice, PassChoice):
                make = partial(self._step, index, choice, facts if fits else None, key)
                step = self._once(
                    "step",
                    str(index),
                    key if fits else "-",
                    self._made_of(choice),
                    system=choice.host,
                    make=make,
                )
            if step:
                steps.append(step)
            facts, key = (step.facts_out, step.key) if step else (None, "")
            known_format = known_format if choice.produces == "same" else choice.produces
            before = f"step {index} ({choice.type_name})"
        return steps

    def _tell_misfit(self, index: int, choice: PassChoice | Unfit, found: str, before: str) -> None:
        givers = [p.name for p in self._draft.passes if p.produces in choice.accepts and p is not choice]
        takes = f"Step {index} ({choice.type_name}) takes {' or '.join(choice.accepts)}"
        self._findings.problem(
            choice.path,
            f"{takes}, but {before} gives {found}.",
            f"Put {choice.name!r} after {givers[0]!r}." if givers else "",
            step=choice.name,
        )

    def _step(self, index: int, choice: PassChoice, facts: ModelFacts | None, model_key: str) -> Step | None:
        """facts: None when the model that reaches the step is not known; the rest of it is checked then."""
        registered, spec, system = choice.registered, choice.registered.spec, choice.host
        context = self._context(choice.path, choice.name)
        context.device = self._places.device(spec, system, context)
        if spec.targets:
            context.target = self._places.target
            context.target_is_here = self._places.has(system, context.target)
        before = len(self._problems)
        resolved = self._resolve(choice, f"step-{index}", context)
        formats = [*([facts.format] if facts else []), _produces(spec, facts)]
        task = self._task(registered, choice, resolved, system, formats, context, model_key)
        _check_target(spec, context)
        if facts is None or len(self._problems) > before or not self._libraries.complete(system):
            return None
        facts_out = _facts_out(registered, facts, resolved.here, context, ask=not self._is_elsewhere)
        common = {field.name: getattr(task, field.name) for field in fields(Task) if field.name != "needs"}
        return Step(
            **common,
            needs=choice.needs.over(Needs(memory=context.memory, disk=facts_out.size)),
            index=index,
            facts_in=facts,
            facts_out=facts_out,
            memory=context.memory,
            output_name=choice.output_name,
        )

    def _measurements(self, model: ModelFacts | None, steps: Sequence[Step]) -> list[Measurement]:
        if not self._draft.passes and model:
            return self._measured(((metric, model, None) for metric in self._draft.metrics), model)
        wanted = [
            (metric, step)
            for step in steps
            if isinstance(choice := self._draft.passes[step.index - 1], PassChoice)
            for metric in choice.metrics
        ]
        compared = {m.path: m for m, _ in wanted if self._is_measured_before(m, model)}
        of_input = self._measured(((m, model, None) for m in compared.values() if model), model)
        baselines = [replace(m, name=f"{m.name} of the input model", is_baseline=True) for m in of_input]
        parts = [(self._part(m), step) for m, step in wanted] if self._parts else []
        of_parts = self._measured(((m, step.facts_out, step) for m, step in parts if m), model)
        whole = self._measured(((m, step.facts_out, step) for m, step in wanted), model)
        return [*baselines, *(replace(m, is_part=True) for m in of_parts), *whole]

    def _part(self, metric: MetricChoice) -> MetricChoice | None:
        """The metric over a first part of its data; None where that saves little, or nothing is judged."""
        part, options = metric.registered.spec.part, metric.options
        if part is None or not goals(metric):
            return None
        option, number = part
        most = getattr(options, option, None)
        rows = [most, *(plan.facts.rows for plan in self._data_of(metric.data).values())]
        if any(count is not None and count < _PARTS * number for count in rows):
            return None
        return replace(metric, options=options.model_copy(update={option: number}))

    def _is_measured_before(self, metric: MetricChoice, model: ModelFacts | None) -> bool:
        """Whether it is measured of the input model, too: a goal or the workflow wants to compare."""
        if model is None or compares_with_input(metric):
            return model is not None
        formats = metric.registered.spec.formats
        return self._draft.evaluate_input_model and (not formats or model.format in formats)

    def _measured(
        self, wanted: Iterable[tuple[MetricChoice, ModelFacts, Step | None]], beside: ModelFacts | None
    ) -> list[Measurement]:
        system = target_system(self._draft)
        found = (
            self._once(
                "measurement",
                step.key if step else "-",
                self._made_of(metric),
                system=system,
                make=partial(self._measurement, metric, model, step, beside),
            )
            for metric, model, step in wanted
        )
        return [measurement for measurement in found if measurement]

    def _made_of(self, choice: PassChoice | MetricChoice) -> str:
        """All that a choice says, and what its data are."""
        data = {role: plan.fingerprint for role, plan in self._data_of(choice.data).items()}
        place = (choice.host, choice.output_name, choice.needs) if isinstance(choice, PassChoice) else ()
        return repr((choice.path, _told(choice), place, choice.data, data, self._place()))

    def _measurement(
        self, metric: MetricChoice, model: ModelFacts, step: Step | None, beside: ModelFacts | None
    ) -> Measurement | None:
        """Of the model that the step makes, or of the input model. None, told, where the target is not there
        to be measured on. beside: the input model, for a metric that compares."""
        registered, spec = metric.registered, metric.registered.spec
        system = target_system(self._draft)
        context = self._context(metric.path, metric.name)
        context.target = self._places.target
        context.device = context.target.device
        if spec.formats and model.format not in spec.formats:
            context.problem(
                f"{spec.name} measures {', '.join(spec.formats)}, but the model is {model.format}."
            )
        resolved = self._resolve(metric, f"metric-{metric.name}", context)
        if spec.opens_model and not self._places.has(system, context.target):
            provider = context.target.execution_provider
            context.note(f"not measured: {system!r} is for {provider}, and there is none here.")
            return None
        formats, key = [model.format], step.key if step else input_key(model)
        if spec.compares and beside is not None:
            formats, key = [model.format, beside.format], f"{key} beside {input_key(beside)}"
        task = self._task(registered, metric, resolved, system, formats, context, key)
        common = {field.name: getattr(task, field.name) for field in fields(Task)}
        return Measurement(**common, after=step.index if step else 0, choice=metric)

    def _resolve(
        self, choice: PassChoice | MetricChoice, prefix: str, context: StepContext
    ) -> ResolvedOptions:
        """Look for the files that the options name, and let the context know the data. What is wrong is
        told."""
        context.facts = {role: plan.facts for role, plan in self._data_of(choice.data).items()}
        return resolve_options(choice.options, prefix, self._lookup, context.tell)

    def _task(
        self,
        registered: Registered[S],
        choice: PassChoice | MetricChoice,
        resolved: ResolvedOptions,
        system: str,
        formats: Sequence[str],
        context: StepContext,
        model_key: str,
    ) -> Task[S]:
        """What a step and a measurement have alike. Libraries that the system lacks are told."""
        data = self._data_of(choice.data)
        owners: list[Registered[Spec]] = [registered, *self._libraries.formats(*formats)]
        owners += [plan.choice.registered for plan in data.values()]
        libraries = self._libraries.check(owners, system, context)
        spec = registered.spec
        key = step_key(
            registered,
            resolved.key,
            model_key,
            {role: plan.fingerprint for role, plan in data.items()},
            context.device,
            context.target,
            self._draft.seed,
            libraries,
            threads_here() if isinstance(spec, PassSpec) and spec.by_threads else "",
        )
        is_step = isinstance(spec, PassSpec)
        return Task(
            name=choice.name,
            registered=registered,
            resolved=resolved,
            data=data,
            system=system,
            device=context.device,
            target=context.target,
            target_is_here=context.target_is_here,
            libraries=libraries,
            requires=requires_of(owners),
            needs=NO_NEEDS,
            key=key,
            cached=self._cache.has(key) if is_step else self._cache.find_numbers(key) is not None,
        )

    def _data_of(self, roles: Mapping[str, str]) -> dict[str, DataPlan]:
        return {role: self._data[name] for role, name in roles.items() if name in self._data}

    def _context(self, path: str, step: str) -> StepContext:
        return StepContext(path, step, self._offline, self._draft.folder, self._findings)

    def _memory(self, steps: Sequence[Step]) -> int:
        """Bytes that the largest step takes, wherever it runs; a place that has not as much is told."""
        most: dict[str, int] = {}
        for step in steps:
            if not step.cached:
                most[step.system] = max(most.get(step.system, 0), step.needs.memory)
        for system, needed in most.items():
            there = self._libraries.environment(system).memory
            here = available_memory()
            free = min(here, there or here) if self._systems.get(system).traits.is_here else there
            if 0 < free < needed:
                where = "are free" if not there else f"are to be had on {system!r}"
                self._findings.note(
                    f"The largest step needs about {needed / 2**30:.1f} GiB of memory; "
                    f"{free / 2**30:.1f} GiB {where}."
                )
        return max(most.values(), default=0)

    def _comes_here(self, step: Step, steps: Sequence[Step]) -> bool:
        """Whether what a step makes is written to this machine's disk."""
        traits = self._systems.get(step.system).traits
        after = steps[step.index] if step.index < len(steps) else None
        stays = traits.keeps_artifacts and after is not None and after.system == step.system
        return not stays or step.output_name is not None

    def _disk(self, steps: Sequence[Step], output_dir: Path | None) -> int:
        """Bytes that the run will write; a volume that has not as much free is told."""
        needs = {
            self._cache.folder: sum(
                step.size for step in steps if not step.cached and self._comes_here(step, steps)
            )
        }
        if output_dir is not None:
            needs[output_dir] = steps[-1].size if steps else 0
        check_disk(needs, self._problems)
        return sum(needs.values())


_PARTS = 4
"""So many times a part is in the whole, at least: else the whole is looked at at once."""


def _told(choice: PassChoice | MetricChoice | DataChoice) -> str:
    """What is written of it: its type, and the options that are not left out."""
    written = choice.options.model_dump_json(exclude_unset=True)
    return f"{choice.registered.spec.name} {written}"


def _facts_out(
    registered: Registered[PassSpec], facts: ModelFacts, options: Options, context: StepContext, *, ask: bool
) -> ModelFacts:
    """ask: whether the pass can say more: it cannot of a model that is not here."""
    produces = _produces(registered.spec, facts)
    plain = replace(facts, format=produces, path=None, identity="")
    if not registered.spec.plan or not ask:
        return plain
    try:
        answer = registered.call(registered.spec.plan, facts, options, context)
    except NotFetched:
        return plain
    return replace(answer, format=produces, path=None, identity="")


def _produces(spec: PassSpec, facts: ModelFacts | None) -> str:
    return facts.format if spec.produces == "same" and facts else spec.produces


def _check_target(spec: PassSpec, context: StepContext) -> None:
    if context.target is None or {ANY_TARGET, context.target.execution_provider} & set(spec.targets):
        return
    context.problem(
        f"{spec.name} cannot build for {context.target.execution_provider}.",
        f"It builds for {', '.join(spec.targets)}: set the accelerator of the target.",
    )
