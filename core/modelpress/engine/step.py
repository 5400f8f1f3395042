"""One step of a run: from the cache, or as a job on its system, then into the cache."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelpress import errors
from modelpress.artifact import Artifact
from modelpress.context import ModelFacts
from modelpress.disk import megabytes
from modelpress.engine.inputs import ResolvedOptions, bring
from modelpress.engine.job import (
    INPUT_MARK,
    DataInput,
    FormatCode,
    Job,
    ModelInput,
    path_keys,
    ship_code,
    write_job,
)
from modelpress.engine.plan import DataPlan, Measurement, Plan, Step
from modelpress.engine.planner import open_input
from modelpress.engine.prepare import Prepared
from modelpress.errors import DiskFull, HostError, MissingDependencyError, UserError, error_from_record
from modelpress.events import Event, Log, Progress
from modelpress.registry import Registered, Registry
from modelpress.specs import DataContainerSpec, FormatSpec
from modelpress.worker import DATA_FOLDER_INPUT

_SUMMARY_NAMES = ("loss", "eval_loss", "merged_modules", "accuracy", "perplexity", "bits_per_weight")


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """What a step gave: an artifact, or numbers. result is what the worker wrote (empty when cached)."""

    cached: bool
    artifact: Artifact | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return self.artifact.size if self.artifact else 0

    @property
    def summary(self) -> str:
        """A few of its numbers as one short text."""
        reports = {**self.result.get("reports", {}), **self.numbers}
        shown = [name for name in _SUMMARY_NAMES if name in reports] if not self.numbers else list(reports)
        return ", ".join(f"{name} {_short(reports[name])}" for name in shown[:4])


class StepRunner:
    """Runs the steps of a plan."""

    def __init__(
        self, plan: Plan, prepared: Prepared, registry: Registry, tell: Callable[[Event], None]
    ) -> None:
        self._plan = plan
        self._cache = prepared.cache
        self._systems = prepared.systems
        self._offline = prepared.offline
        self._registry = registry
        self._tell = tell
        self._formats = {
            entry.spec.name: FormatCode(entry.spec.check, entry.spec.load)
            for entry in registry.all(FormatSpec)
        }

    def input_model(self) -> Artifact:
        """The input model on this machine, fetched when it is elsewhere."""
        facts, workflow = self._plan.model, self._plan.workflow
        if facts.path is None or (facts.base and facts.base.path is None):
            choice = workflow.input_model
            fetch = choice.registered.resolve(choice.registered.spec.fetch)
            fetch(choice.options, _Fetch(self._offline, workflow.folder, self._tell))
            facts = open_input(workflow, self._cache.digests, offline=self._offline)
        return _input_artifact(facts)

    def run_step(self, step: Step, model: Artifact, on_start: Callable[[bool], None]) -> JobOutcome:
        """The step's artifact, from the cache or made now. on_start is called when work begins."""
        with self._cache.lock(step.key, lambda: self._tell(_waiting(step.name))):
            found = self._cache.find(step.key, lambda text: self._tell(Log("warning", text)))
            if found:
                return JobOutcome(cached=True, artifact=_with_base(found, model))
            is_last = step.index == len(self._plan.steps)
            job = self._job(
                "pass",
                step.name,
                step.registered,
                step.resolved.job,
                model,
                step.data,
                produces=step.format_out,
            )
            inputs = {**self._bring(step.resolved), **self._inputs(model, step.data)}
            folder, result = self._work(
                step, job, inputs, on_start, load_once=is_last, packages=self._packages(step.registered, job)
            )
            base = model.base or model
            answer = Artifact(
                folder / "out",
                result["format"],
                step.key,
                base=base if result["base"] else None,
                meta=result["meta"],
            )
            made_by = _made_by(step, result)
            artifact = self._cache.commit(folder / "out", answer, made_by)
            self._cache.finish_job(step.key)
            return JobOutcome(cached=False, artifact=artifact, result=result)

    def run_measurement(
        self, wanted: Measurement, model: Artifact, on_start: Callable[[bool], None]
    ) -> JobOutcome:
        """A metric's numbers, from the cache or measured now."""
        registered = wanted.registered
        with self._cache.lock(wanted.key, lambda: self._tell(_waiting(wanted.name))):
            found = self._cache.find_numbers(wanted.key)
            if found:
                return JobOutcome(cached=True, numbers=found["metrics"])
            job = self._job(
                "metric", wanted.name, registered, wanted.resolved.job, model, wanted.data, produces=""
            )
            inputs = {**self._bring(wanted.resolved), **self._inputs(model, wanted.data)}
            _, result = self._work(
                wanted, job, inputs, on_start, load_once=False, packages=self._packages(registered, job)
            )
            self._cache.commit_numbers(wanted.key, result)
            self._cache.finish_job(wanted.key)
            return JobOutcome(cached=False, numbers=result["metrics"], result=result)

    def _job(
        self,
        kind: str,
        name: str,
        registered: Registered[Any],
        options: Mapping[str, Any],
        model: Artifact,
        data: Mapping[str, DataPlan],
        *,
        produces: str,
    ) -> dict[str, Any]:
        spec = registered.spec
        return {
            "kind": kind,
            "name": name,
            "type": spec.name,
            "run": spec.run,
            "config": spec.config,
            "options": options,
            "model": _model_input(model),
            "produces": produces,
            "data": {role: _data_input(plan) for role, plan in data.items()},
            "formats": self._formats,
            "install_hint": registered.install_hint,
            "seed": self._plan.workflow.seed,
            "offline": self._offline,
        }

    def _inputs(self, model: Artifact, data: Mapping[str, DataPlan]) -> dict[str, Path]:
        inputs = {DATA_FOLDER_INPUT: self._cache.data_folder}
        current: Artifact | None = model
        name = "model"
        while current:
            inputs[name] = current.path
            inputs.update({f"{name}-{key}": Path(current.meta[key]) for key in path_keys(current.meta)})
            current, name = current.base, f"{name}-base"
        for plan in data.values():
            inputs.update(self._bring(plan.resolved))
        return inputs

    def _bring(self, resolved: ResolvedOptions) -> dict[str, Path]:
        return bring(resolved.inputs, self._cache, self._tell)

    def _packages(self, registered: Registered[Any], job: Mapping[str, Any]) -> dict[str, Path]:
        """Import name -> folder, of modelpress and of every distribution whose code the job names."""
        names = [data.container for data in job["data"].values()]
        containers = [self._registry.find(DataContainerSpec, name) for name in names]
        packages = {"modelpress": Path(errors.__file__).parent}
        for entry in (registered, *containers, *self._registry.all(FormatSpec)):
            packages.update({folder.stem: folder for folder in entry.provider.folders})
        return packages

    def _work(
        self,
        step: Step | Measurement,
        fields: Mapping[str, Any],
        inputs: Mapping[str, Path],
        on_start: Callable[[bool], None],
        *,
        load_once: bool,
        packages: Mapping[str, Path],
    ) -> tuple[Path, dict[str, Any]]:
        """Run the job on its system. Returns its folder and what the worker answered."""
        system = self._systems.ready(step.system, self._cache, self._tell)
        folder = self._cache.job_folder(step.key)
        checkpoint = folder / "checkpoint"
        resumed = checkpoint.is_dir() and any(checkpoint.iterdir())
        job = Job(
            **fields,
            device=step.accelerator.device,
            execution_provider=step.accelerator.execution_provider,
            load_once=load_once,
            secrets=_secrets(step),
        )
        folder.mkdir(parents=True, exist_ok=True)
        write_job(folder, job, inputs)
        if system.ships_code:
            ship_code(folder, packages)
        on_start(resumed)
        try:
            system.run(folder, self._tell)
            return folder, _answer(folder)
        except DiskFull as error:
            if isinstance(step, Step) and step.size:
                error.message += f" {step.name} writes about {megabytes(step.size)}."
            raise


def _input_artifact(facts: ModelFacts) -> Artifact:
    if facts.path is None:
        raise HostError(f"The model {facts.identity} was fetched, but its files are not there.")
    base = _input_artifact(facts.base) if facts.base else None
    return Artifact(facts.path, facts.format, facts.identity, base=base, meta=dict(facts.meta))


def _answer(folder: Path) -> dict[str, Any]:
    """What the worker wrote. Raises the error that it met, as if it had happened here."""
    result = folder / "result.json"
    if result.exists():
        answer: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return answer
    try:
        record = json.loads((folder / "error.json").read_text(encoding="utf-8"))
    except OSError:
        raise HostError(f"The system brought back no answer in {folder}.") from None
    error = error_from_record(record["type"], record["message"], record["hint"])
    if not isinstance(error, UserError | MissingDependencyError):
        error.hint = f"{error.hint} The folder of the step is kept: {folder}".strip()
    raise error


def _made_by(step: Step, result: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "pass": step.type_name,
        "provider": step.registered.identity,
        "options": dict(step.resolved.key),
        "libraries": dict(step.libraries),
        "reports": result["reports"],
        "seconds": result["seconds"],
        "peak_memory": result["peak_memory"],
    }


def _model_input(model: Artifact, name: str = "model") -> ModelInput:
    base = _model_input(model.base, f"{name}-base") if model.base else None
    marked = {key: {INPUT_MARK: f"{name}-{key}"} for key in path_keys(model.meta)}
    return ModelInput(name, model.format, model.key, {**model.meta, **marked}, base)


def _data_input(plan: DataPlan) -> DataInput:
    spec = plan.choice.registered.spec
    return DataInput(plan.choice.name, spec.name, spec.open, spec.config, plan.resolved.job)


def _secrets(step: Step | Measurement) -> tuple[str, ...]:
    """The variables whose secrets its options name, and those of its data."""
    resolved = (step.resolved, *(plan.resolved for plan in step.data.values()))
    return tuple(dict.fromkeys(name for each in resolved for name in each.secrets))


def _with_base(artifact: Artifact, model: Artifact) -> Artifact:
    """The same adapter with its base where this run has it: the manifest's path may have moved."""
    if artifact.base is None:
        return artifact
    return Artifact(artifact.path, artifact.format, artifact.key, model.base or model, artifact.meta)


def _waiting(name: str) -> Log:
    return Log("note", f"{name}: another run is at work on this step; waiting for it.")


def _short(value: Any) -> str:
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
