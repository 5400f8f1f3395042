"""The job of a task: what to do as data, the inputs that it needs, and the code that a place may lack."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

from modelpress import errors
from modelpress.artifact import Artifact
from modelpress.engine.away import Reach
from modelpress.engine.cache import Cache
from modelpress.engine.inputs import ResolvedOptions, bring
from modelpress.engine.job import DATA_FOLDER_INPUT, DataInput, FormatCode, Job, ModelInput, Source
from modelpress.engine.plan import DataPlan, Measurement, Plan, Step
from modelpress.engine.resources import RemoteResource, Remotes
from modelpress.identity import content_identity
from modelpress.registry import Registry
from modelpress.shipping import helpers, part_providers
from modelpress.specs import FormatSpec, MetricSpec
from modelpress.system import MountingSystem, System, Tell, Traits

_COMPARED = "input-model"


class JobMaker:
    """Makes the jobs of a plan."""

    def __init__(
        self,
        plan: Plan,
        cache: Cache,
        registry: Registry,
        reach: Reach,
        remotes: Remotes,
        tell: Tell,
        *,
        offline: bool,
    ) -> None:
        self._reach = reach
        self._remotes = remotes
        self._plan = plan
        self._tell = tell
        self._cache = cache
        self._offline = offline
        self._formats = registry.all(FormatSpec)
        self.input_model: Artifact | None = None
        """What metrics compare with, once it is here."""
        self._offline_variables = registry.offline_variables if offline else {}

    def job(
        self, task: Step | Measurement, model: Artifact, id: str, system: System, made: Mapping[str, str]
    ) -> tuple[Job, dict[str, Path]]:
        """What job.json of the task says, and its inputs: name -> path on this machine, for those that the
        system does not have itself. id: of this try; made: key -> id of the job before it in its submission,
        of models that are not made yet."""
        inputs = self._inputs(task, model, system)
        if not system.traits.shares_files:
            del inputs[DATA_FOLDER_INPUT]
        sources = self._sources(task, model, inputs, made)
        for name, path in inputs.items():
            if not sources[name].is_there and not sources[name].writable:
                sources[name] = self._mounted(sources[name], path, system)
        job = self._job(task, model, id, system.traits, sources)
        return job, {name: path for name, path in inputs.items() if not sources[name].is_there}

    def _mounted(self, source: Source, path: Path, system: System) -> Source:
        """The source as a resource, where the path lies in one that the system reads itself."""
        resource = self._remotes.holding(path)
        root = resource.path if resource is not None and _mounts(system, resource) else None
        if resource is None or root is None:
            return source
        below = path.resolve().relative_to(root.resolve()).as_posix()
        return replace(source, resource=resource.reference, below="" if below == "." else below)

    def _sources(
        self,
        task: Step | Measurement,
        model: Artifact,
        inputs: Mapping[str, Path],
        made: Mapping[str, str],
    ) -> dict[str, Source]:
        sources = {DATA_FOLDER_INPUT: Source("", writable=True)}
        resolved = (task.resolved, *(plan.resolved for plan in task.data.values()))
        for name, given in ((name, given) for each in resolved for name, given in each.inputs.items()):
            if isinstance(given, RemoteResource):
                reference = None if name in inputs else given.reference
                sources[name] = Source(given.identity, given.identity, resource=reference)
        for name, each in self._models(task, model):
            origin = each.key if each.key.startswith("hub:") else ""
            maker = made.get(each.key, "")
            kept = None if maker else self._reach.kept(each.key, task.system)
            sources[name] = Source(each.key, origin, kept, made_by=maker)
        rest = inputs.keys() - sources.keys()
        return sources | {n: Source(content_identity(inputs[n], self._cache.digests)) for n in rest}

    def _job(
        self,
        task: Step | Measurement,
        model: Artifact,
        id: str,
        traits: Traits,
        sources: Mapping[str, Source],
    ) -> Job:
        spec = task.registered.spec
        step = task if isinstance(task, Step) else None
        return Job(
            origin=task.registered.origin,
            name=task.name,
            run=spec.run,
            config=spec.config,
            options=task.resolved.job,
            model=_model_input(model),
            input_model=_model_input(compared, _COMPARED) if (compared := self._compared(task)) else None,
            compared_key=_compared_key(task, compared) if compared else "",
            produces=step.format_out if step else "",
            gives=spec.promised if isinstance(spec, MetricSpec) else (),
            data={role: _data_input(plan) for role, plan in task.data.items()},
            formats={e.spec.name: FormatCode(e.origin, e.spec.check, e.spec.load) for e in self._formats},
            device=task.device,
            target=task.target,
            target_is_here=task.target_is_here,
            seed=self._plan.workflow.seed,
            offline=self._offline,
            offline_variables=self._offline_variables,
            load_once=step is not None and step.index == len(self._plan.steps) and step.target_is_here,
            secrets=_secrets(task),
            id=id,
            sources=sources,
            requires=task.requires,
            needs=task.needs,
            list_out=step is not None and not traits.shares_files,
        )

    def _inputs(self, task: Step | Measurement, model: Artifact, system: System) -> dict[str, Path]:
        """Name under inputs/ -> path on this machine; resources that the system does not read are fetched."""
        inputs = {DATA_FOLDER_INPUT: self._cache.data_folder, **self._bring(task.resolved, system)}
        for name, each in self._models(task, model):
            inputs[name] = each.path
            if each.meta.tokenizer_path:
                inputs[_tokenizer(name)] = Path(each.meta.tokenizer_path)
        for plan in task.data.values():
            inputs.update(self._bring(plan.resolved, system))
        return inputs

    def _models(self, task: Step | Measurement, model: Artifact) -> Iterator[tuple[str, Artifact]]:
        """All models of the task, by their names under inputs/."""
        for name, start in (("model", model), (_COMPARED, self._compared(task))):
            each, of = start, name
            while each:
                yield of, each
                each, of = each.base, f"{of}-base"

    def _compared(self, task: Step | Measurement) -> Artifact | None:
        spec = task.registered.spec
        return self.input_model if isinstance(spec, MetricSpec) and spec.compares else None

    def code(self, task: Step | Measurement, *, all_of_it: bool) -> list[Path]:
        """Folders and files of modelpress, of every distribution whose code the job names, and of what these
        need that no index has; else only the plugins of one file, which are installed nowhere."""
        containers = [plan.choice.registered.provider for plan in task.data.values()]
        formats = [entry.provider for entry in self._formats]
        parts = [provider for _, provider in part_providers(task.registered.spec)]
        code = [Path(errors.__file__).parent] if all_of_it else []
        for provider in (task.registered.provider, *parts, *containers, *formats):
            if all_of_it or not provider.installed:
                code += provider.folders
            if all_of_it:
                code += helpers(provider)
        return list(dict.fromkeys(code))

    def _bring(self, resolved: ResolvedOptions, system: System) -> dict[str, Path]:
        given = {
            name: each
            for name, each in resolved.inputs.items()
            if not (isinstance(each, RemoteResource) and _mounts(system, each))
        }
        return bring(given, self._cache, self._tell)


def _mounts(system: System, resource: RemoteResource) -> bool:
    return system.traits.mounts and cast("MountingSystem", system).can_mount(resource.options)


def _compared_key(task: Step | Measurement, compared: Artifact) -> str:
    made_of = {
        "model": compared.key,
        "data": {role: plan.fingerprint for role, plan in task.data.items()},
        "libraries": dict(task.libraries),
        "device": task.device,
    }
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def _model_input(model: Artifact, name: str = "model") -> ModelInput:
    base = _model_input(model.base, f"{name}-base") if model.base else None
    meta = replace(model.meta, tokenizer_path=_tokenizer(name)) if model.meta.tokenizer_path else model.meta
    return ModelInput(name, model.format, model.key, meta, base)


def _secrets(task: Step | Measurement) -> tuple[str, ...]:
    """The variables whose secrets its options name, and those of its data."""
    resolved = (task.resolved, *(plan.resolved for plan in task.data.values()))
    return tuple(dict.fromkeys(name for each in resolved for name in each.secrets))


def _tokenizer(model: str) -> str:
    return f"{model}-tokenizer"


def _data_input(plan: DataPlan) -> DataInput:
    container = plan.choice.registered
    return DataInput(
        plan.choice.name, container.origin, container.spec.open, container.spec.config, plan.resolved.job
    )
