"""Run a pass in this process as the worker would: the same context, a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from modelpress.artifact import Artifact
from modelpress.context import Accelerator, DataFacts, ModelFacts
from modelpress.engine.job import FormatCode, Job, ModelInput, write_job
from modelpress.events import EventFile
from modelpress.fence import Origin, check_answer
from modelpress.options import Options
from modelpress.registry import Registered, Registry
from modelpress.samples import DataSource
from modelpress.specs import FormatSpec, MetricSpec, PassSpec, Reference, Spec
from modelpress.worker_context import WorkerContext

O = TypeVar("O", bound=Options)  # noqa: E741 - the letter that stands for options
ProgressWatch = Callable[[WorkerContext, int, int], None]
"""Called with (the context, done, total)."""


_CPU = Accelerator()


def pass_context(
    folder: Path,
    *,
    seed: int = 0,
    registry: Registry | None = None,
    name: str = "test",
    produces: str = "",
    gives: tuple[str, ...] = (),
    origin: Origin | None = None,
    run: str = "",
    data: Mapping[str, DataSource] = MappingProxyType({}),
    watch: ProgressWatch | None = None,
    target: Accelerator | None = _CPU,
) -> WorkerContext:
    """A PassContext whose `out` and `scratch` are empty and whose `checkpoint` is as the last call left it.

    folder: where they lie; made if need be. registry: whose formats `load` can open; none when left out.
    produces, gives, origin, run: what finish_pass and finish_metric go by, see Job.
    data: what `data(role)` gives, by role. target: what the model is for; other than a CPU it is not here.
    watch: called whenever the pass says how far it is. What the pass
    reports is in `context.reports`, the events are in `folder/events.jsonl`.
    """
    formats: Mapping[str, FormatCode] = {
        entry.spec.name: FormatCode(entry.origin, entry.spec.check, entry.spec.load)
        for entry in (registry.all(FormatSpec) if registry else ())
    }
    job = Job(
        origin=origin or Origin("pass", name, name, name, "0"),
        name=name,
        run=run,
        config="",
        options={},
        model=ModelInput(input="model", format="", key=""),
        produces=produces,
        gives=gives,
        formats=formats,
        seed=seed,
        target=target,
        target_is_here=target in (None, Accelerator()),
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_job(folder, job, {})
    return _GivenData(folder, job, EventFile(folder / "events.jsonl"), data, watch)


class _GivenData(WorkerContext):
    """A context whose data are objects, not the data configs of a workflow."""

    def __init__(
        self,
        folder: Path,
        job: Job,
        events: EventFile,
        data: Mapping[str, DataSource],
        watch: ProgressWatch | None,
    ) -> None:
        super().__init__(folder, job, events)
        self._data = data
        self._watch = watch

    def data(self, role: str) -> DataSource:
        return self._data[role] if role in self._data else super().data(role)

    def progress(self, done: int, total: int, unit: str) -> None:
        super().progress(done, total, unit)
        if self._watch:
            self._watch(self, done, total)


def run_pass(
    registered: Registered[PassSpec],
    model: Artifact,
    options: Mapping[str, Any],
    folder: Path,
    *,
    registry: Registry,
    seed: int = 0,
    data: Mapping[str, DataSource] = MappingProxyType({}),
    watch: ProgressWatch | None = None,
) -> Artifact:
    """Run a pass to its end and check its promise as the worker does: format, place, the format's own check.

    options are what a user writes. Raises pydantic.ValidationError for those, PassError for a broken promise.
    """
    spec = registered.spec
    produces = model.format if spec.produces == "same" else spec.produces
    context = pass_context(
        folder, seed=seed, registry=registry, name=spec.name, produces=produces, origin=registered.origin,
        run=spec.run, data=data, watch=watch, target=Accelerator() if spec.targets else None,
    )  # fmt: skip
    parsed = as_in_a_worker(options_class(registered).parse(options))
    result = registered.resolve(spec.run)(model, parsed, context)
    check_answer(registered.origin, spec.run, result)
    context.finish_pass(result)
    context.flush()
    return result


def run_metric(
    registered: Registered[MetricSpec],
    model: Artifact,
    options: Mapping[str, Any],
    folder: Path,
    *,
    registry: Registry,
    seed: int = 0,
    data: Mapping[str, DataSource] = MappingProxyType({}),
    watch: ProgressWatch | None = None,
) -> Mapping[str, float]:
    """Measure a model as the worker does. Raises as run_pass does."""
    spec = registered.spec
    context = pass_context(
        folder, seed=seed, registry=registry, name=spec.name, gives=spec.promised,
        origin=registered.origin, run=spec.run, data=data, watch=watch,
    )  # fmt: skip
    if spec.compares:
        context.compare_with(model)
    parsed = as_in_a_worker(options_class(registered).parse(options))
    numbers = registered.resolve(spec.run)(model, parsed, context)
    check_answer(registered.origin, spec.run, numbers)
    return context.finish_metric(numbers).metrics


def as_in_a_worker(options: O) -> O:
    """The options as they come out of a job's folder: read again from the JSON of all of them, so that each
    counts as set, whoever set it."""
    return type(options).parse(json.loads(json.dumps(options.canonical())))


def options_class(registered: Registered[Spec]) -> type[Options]:
    """The class of its options; one without any for what has none."""
    reference: Reference[type[Options]] | str = getattr(registered.spec, "config", "")
    return registered.resolve(reference) if isinstance(reference, Reference) else Options


def input_artifact(folder: Path, format: str, base: Artifact | None = None) -> Artifact:
    """A folder as the input of a pass. base: the model that an adapter belongs to."""
    return Artifact(folder, format, key=f"content:{folder.name}", base=base)


def model_facts(artifact: Artifact) -> ModelFacts:
    """What the plan would know of this artifact."""
    config = artifact.path / "config.json"
    base = model_facts(artifact.base) if artifact.base else None
    return ModelFacts(
        format=artifact.format,
        path=artifact.path,
        identity=artifact.key,
        config=json.loads(config.read_bytes()) if config.is_file() else dict(base.config) if base else {},
        size=artifact.size,
        meta=artifact.meta,
        base=base,
    )


class RecordingPlan:
    """A PlanContext that keeps what it is told. folder: stands for the workflow's."""

    def __init__(self, folder: Path = Path()) -> None:
        self.folder = folder
        self.device = "cpu"
        self.accelerator = Accelerator()
        self.target_is_here = True
        self.offline = True
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.memory = 0

    def problem(
        self,
        message: str,
        hint: str = "",
        *,
        option: str = "",
        kind: Literal["input", "dependency"] = "input",
    ) -> None:
        self.problems.append(f"{message} {hint}".strip())

    def note(self, message: str) -> None:
        self.notes.append(message)

    def needs(self, *, memory: int = 0) -> None:
        self.memory = max(self.memory, memory)

    def data(self, role: str) -> DataFacts | None:
        return None
