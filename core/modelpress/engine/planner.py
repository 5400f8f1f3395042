"""Make the plan of a workflow: check all that can be known before any work, and tell every problem at once.

Nothing heavy is imported and nothing is written. `modelpress plan` stops here; a run goes on from it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from modelpress.config.workflow import LoadedWorkflow, MetricChoice, PassChoice
from modelpress.context import Accelerator, DataFacts, ModelFacts, System
from modelpress.disk import megabytes
from modelpress.engine.cache import Cache
from modelpress.engine.inputs import Place, resolve_options
from modelpress.engine.job import path_keys
from modelpress.engine.keys import step_key
from modelpress.engine.plan import DataPlan, Measurement, Plan, Step
from modelpress.engine.systems import OpenSystems
from modelpress.errors import HostError, UserError
from modelpress.identity import content_identity
from modelpress.memory import available_memory
from modelpress.options import Options
from modelpress.problems import Problems
from modelpress.registry import Registered, Registry
from modelpress.specs import MetricSpec, PassSpec


@dataclass(slots=True)
class _StepContext:
    """The PlanContext of one step, data config or input model."""

    path: str
    step: str
    accelerator: Accelerator
    offline: bool
    folder: Path
    planner: _Planner
    facts: Mapping[str, DataFacts] = field(default_factory=dict)
    memory: int = 0

    def problem(
        self,
        message: str,
        hint: str = "",
        *,
        option: str = "",
        kind: Literal["input", "dependency"] = "input",
    ) -> None:
        where = self.planner.workflow.locate(f"{self.path}.{option}" if option else self.path)
        self.planner.problems.add(message, hint, where=where, step=self.step, kind=kind)

    def tell(self, message: str, hint: str, option: str) -> None:
        self.problem(message, hint, option=option)

    def note(self, message: str) -> None:
        text = f"{self.step}: {message}" if self.step else message
        if text not in self.planner.notes:
            self.planner.notes.append(text)

    def needs(self, *, memory: int = 0) -> None:
        self.memory = max(self.memory, memory)

    def data(self, role: str) -> DataFacts | None:
        return self.facts.get(role)


def make_plan(
    workflow: LoadedWorkflow,
    registry: Registry,
    cache: Cache,
    systems: OpenSystems,
    *,
    offline: bool = False,
    output_dir: Path | None = None,
) -> Plan:
    """Plan a loaded workflow. Problems found while loading come first in `problems`; nothing is raised."""
    return _Planner(workflow, registry, cache, systems, offline).plan(output_dir)


def open_input(
    workflow: LoadedWorkflow, registry: Registry, cache: Cache, systems: OpenSystems, *, offline: bool
) -> ModelFacts:
    """The input model anew, after it was fetched. Raises WorkflowError when it is not as it should be."""
    problems = Problems()
    planner = _Planner(replace(workflow, problems=problems), registry, cache, systems, offline)
    facts = planner.input_model()
    problems.raise_if_any()
    if facts is None:
        raise UserError("The input model cannot be opened.")
    return facts


class _Planner:
    def __init__(
        self, workflow: LoadedWorkflow, registry: Registry, cache: Cache, systems: OpenSystems, offline: bool
    ) -> None:
        self.workflow = workflow
        self.problems = workflow.problems
        self.notes: list[str] = []
        self._registry = registry
        self._cache = cache
        self._systems = systems
        self._offline = offline
        self._place = Place(workflow.folder, cache.digests, registry)
        self._data: dict[str, DataPlan | None] = {}

    def plan(self, output_dir: Path | None) -> Plan:
        model = self.input_model()
        for name in self.workflow.data:
            self._data_plan(name)
        steps, last = self._steps(model)
        measurements = self._measurements(model, steps) if last else []
        disk = self._check_disk(steps, output_dir)
        memory = max((step.memory for step in steps if not step.cached), default=0)
        if memory > available_memory():
            self.notes.append(
                f"The largest step needs about {memory / 2**30:.1f} GiB of memory; "
                f"{available_memory() / 2**30:.1f} GiB are free."
            )
        return Plan(self.workflow, model, steps, measurements, self.notes, self.problems, disk, memory)

    def input_model(self) -> ModelFacts | None:
        choice = self.workflow.input_model
        if choice is None or choice.registered is None or choice.options is None:
            return None
        spec = choice.registered.spec
        context = self._context("input_model", "input_model", self._accelerator(self.workflow.host))
        facts: ModelFacts | None = choice.registered.resolve(spec.open)(choice.options, context)
        if facts is None:
            return None
        return self._identified(facts)

    def _identified(self, facts: ModelFacts) -> ModelFacts:
        base = self._identified(facts.base) if facts.base else None
        identity = facts.identity
        if not identity and facts.path is not None and facts.path.exists():
            identity = content_identity(facts.path, self._cache.digests)
        return replace(facts, identity=identity, base=base)

    def _data_plan(self, name: str) -> DataPlan | None:
        if name not in self._data:
            self._data[name] = self._make_data_plan(name)
        return self._data[name]

    def _make_data_plan(self, name: str) -> DataPlan | None:
        choice = self.workflow.data.get(name)
        if choice is None or choice.registered is None or choice.options is None:
            return None
        spec = choice.registered.spec
        context = self._context(choice.path, name, Accelerator())
        before = len(self.problems)
        resolved = resolve_options(choice.options, f"data-{len(self._data)}", self._place, context.tell)
        facts = DataFacts()
        if spec.peek and len(self.problems) == before:
            here = type(choice.options).parse(resolved.here)
            facts = choice.registered.resolve(spec.peek)(here, context) or DataFacts()
        fingerprint = {
            "container": spec.name,
            "version": spec.version,
            "provider": choice.registered.identity,
            "options": resolved.key,
            "libraries": self._systems.local_libraries(spec.requires),
        }
        return DataPlan(choice, resolved, fingerprint, facts)

    def _steps(self, model: ModelFacts | None) -> tuple[list[Step], ModelFacts | None]:
        steps: list[Step] = []
        facts, before = model, "the input model"
        known_format = model.format if model else self._promised_format()
        key = self._input_key(model) if model else ""
        for index, choice in enumerate(self.workflow.passes, start=1):
            if choice.registered is None:
                facts, known_format = None, ""
                continue
            spec = choice.registered.spec
            fits = not known_format or known_format in spec.accepts
            if not fits:
                self._tell_misfit(index, choice, spec, known_format, before)
            step = self._step(index, choice, spec, facts, key) if facts and fits else None
            if step is None:
                self._check_alone(choice)
            else:
                steps.append(step)
            facts, key = (step.facts_out, step.key) if step else (None, "")
            known_format = known_format if spec.produces == "same" else spec.produces
            before = f"step {index} ({spec.name})"
        return steps, facts

    def _promised_format(self) -> str:
        choice = self.workflow.input_model
        return choice.registered.spec.produces if choice and choice.registered else ""

    def _tell_misfit(self, index: int, choice: PassChoice, spec: PassSpec, found: str, before: str) -> None:
        givers = [
            other.name
            for other in self.workflow.passes
            if other.registered and other.registered.spec.produces in spec.accepts and other is not choice
        ]
        hint = f"Put {choice.name!r} after {givers[0]!r}." if givers else ""
        self.problems.add(
            f"Step {index} ({spec.name}) takes {' or '.join(spec.accepts)}, but {before} gives {found}.",
            hint,
            where=self.workflow.locate(choice.path),
            step=choice.name,
        )

    def _check_alone(self, choice: PassChoice) -> None:
        """What can be checked of a step when the model that reaches it is not known."""
        if choice.options is not None:
            context = self._context(choice.path, choice.name, Accelerator())
            resolve_options(choice.options, choice.name, self._place, context.tell)
            self._check_libraries(choice, context)

    def _step(
        self, index: int, choice: PassChoice, spec: PassSpec, facts: ModelFacts, input_key: str
    ) -> Step | None:
        registered, options = choice.registered, choice.options
        if registered is None or options is None:
            return None
        system = choice.host or self.workflow.host or self._systems.default
        data = {role: plan for role, name in choice.data.items() if (plan := self._data_plan(name))}
        context = self._context(choice.path, choice.name, self._accelerator(system))
        context.facts = {role: plan.facts for role, plan in data.items()}
        before = len(self.problems)
        resolved = resolve_options(options, f"step-{index}", self._place, context.tell)
        libraries = self._check_libraries(choice, context)
        self._check_device(spec, context)
        if len(self.problems) > before or self._system(system) is None:  # the latter is told already
            return None
        here = type(options).parse(resolved.here)
        facts_out = self._facts_out(registered, facts, here, context)
        key = step_key(
            registered, resolved.key, input_key, {role: plan.fingerprint for role, plan in data.items()},
            context.accelerator, self.workflow.seed, libraries,
        )  # fmt: skip
        return Step(
            index, choice.name, registered, options, resolved, data, system, context.accelerator, facts,
            facts_out, key, self._cache.has(key), context.memory, libraries, choice.output_name,
        )  # fmt: skip

    def _facts_out(
        self, registered: Registered[PassSpec], facts: ModelFacts, options: Options, context: _StepContext
    ) -> ModelFacts:
        spec = registered.spec
        produces = facts.format if spec.produces == "same" else spec.produces
        plain = replace(facts, format=produces, path=None, identity="")
        if not spec.plan:
            return plain
        answer: ModelFacts | None = registered.resolve(spec.plan)(facts, options, context)
        return replace(answer, format=produces, path=None, identity="") if answer else plain

    def _check_libraries(self, choice: PassChoice, context: _StepContext) -> Mapping[str, str]:
        if choice.registered is None:
            return {}
        system = choice.host or self.workflow.host or self._systems.default
        return self._libraries(choice.registered, system, context)

    def _libraries(
        self, registered: Registered[Any], system: str, context: _StepContext
    ) -> Mapping[str, str]:
        """Versions of the libraries that a spec requires, where it will run; absent ones are told."""
        spec = registered.spec
        try:
            opened = self._system(system)
            found = dict(opened.libraries(spec.requires)) if opened else {}
        except HostError as error:
            context.problem(error.message, error.hint)
            return {}
        if opened is None:
            return {}
        missing = [name for name in spec.requires if name not in found]
        if missing:
            context.problem(
                f"{spec.name} needs {', '.join(missing)}, not installed on {system!r}.",
                registered.install_hint,
                kind="dependency",
            )
        return found

    def _check_device(self, spec: PassSpec, context: _StepContext) -> None:
        if context.accelerator.device not in spec.devices:
            context.problem(
                f"{spec.name} runs on {' or '.join(spec.devices)}, but the system's accelerator is "
                f"{context.accelerator.device!r}."
            )

    def _system(self, name: str) -> System | None:
        return self._systems.get(name)

    def _accelerator(self, system: str | None) -> Accelerator:
        choice = self.workflow.systems.get(system or "")
        return choice.accelerators[0] if choice and choice.accelerators else Accelerator()

    def _measurements(self, model: ModelFacts | None, steps: Sequence[Step]) -> list[Measurement]:
        found: list[Measurement] = []
        for step in steps:
            choice = self.workflow.passes[step.index - 1]
            name = choice.evaluator
            if name is None and step.index == len(self.workflow.passes):
                name = self.workflow.evaluator
            for metric in self.workflow.evaluators.get(name or "", ()):
                found += self._measurement(metric, step.index, step.key, step.format_out)
        if not self.workflow.passes and model is not None:
            for metric in self.workflow.evaluators.get(self.workflow.evaluator or "", ()):
                found += self._measurement(metric, 0, self._input_key(model), model.format)
        return found

    def _measurement(
        self, metric: MetricChoice, after: int, model_key: str, format: str
    ) -> list[Measurement]:
        if metric.registered is None or metric.options is None:
            return []
        spec: MetricSpec = metric.registered.spec
        system = self.workflow.target or self.workflow.host or self._systems.default
        context = self._context(metric.path, metric.name, self._accelerator(system))
        if spec.formats and format not in spec.formats:
            context.problem(f"{spec.name} measures {', '.join(spec.formats)}, but the model is {format}.")
        data = {role: plan for role, name in metric.data.items() if (plan := self._data_plan(name))}
        resolved = resolve_options(metric.options, f"metric-{metric.name}", self._place, context.tell)
        libraries = self._libraries(metric.registered, system, context)
        key = step_key(
            metric.registered, resolved.key, model_key,
            {role: plan.fingerprint for role, plan in data.items()},
            context.accelerator, self.workflow.seed, libraries,
        )  # fmt: skip
        cached = self._cache.find_numbers(key) is not None
        return [Measurement(after, metric, resolved, data, system, context.accelerator, key, cached)]

    def _input_key(self, model: ModelFacts) -> str:
        """Identity, and what else is told of the model (`load_kwargs`), wherever its files lie."""
        paths = path_keys(model.meta)
        meta = {key: value for key, value in model.meta.items() if key not in paths}
        told = f" {json.dumps(meta, sort_keys=True)}" if meta else ""
        base = f" on {self._input_key(model.base)}" if model.base else ""
        return f"{model.identity}{told}{base}"

    def _context(self, path: str, step: str, accelerator: Accelerator) -> _StepContext:
        return _StepContext(path, step, accelerator, self._offline, self.workflow.folder, self)

    def _check_disk(self, steps: Sequence[Step], output_dir: Path | None) -> int:
        """Bytes that the run will write. Problems: a volume that has not as much free."""
        cache = sum(step.size for step in steps if not step.cached)
        export = steps[-1].size if steps else 0
        needs: dict[Path, int] = {self._cache.folder: cache}
        if output_dir is not None:
            needs[output_dir] = export
        by_volume: dict[int, tuple[Path, int]] = {}
        for path, size in needs.items():
            there = _existing(path)
            device = there.stat().st_dev
            by_volume[device] = (there, by_volume.get(device, (there, 0))[1] + size)
        for there, size in by_volume.values():
            free = shutil.disk_usage(there).free
            if size > free:
                self.problems.add(
                    f"The run will write about {megabytes(size)}, but {there} has {megabytes(free)} free.",
                    "Free some space (`modelpress cache gc` helps), or set cache_dir and output_dir.",
                )
        return cache + (export if output_dir is not None else 0)


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path
