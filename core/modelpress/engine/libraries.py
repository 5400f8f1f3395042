"""What tasks require of the systems that they run on: each system is asked once, for all of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from modelpress.compiled import not_for
from modelpress.config.workflow import MetricChoice, PassChoice, WorkflowDraft
from modelpress.engine.places import target_system
from modelpress.engine.plan_context import Findings, StepContext
from modelpress.engine.systems import OpenSystems
from modelpress.errors import HostError, UserError
from modelpress.registry import Registered, Registry
from modelpress.requirements import WORKER_REQUIRES, Lack, by_extra, lacks, required_names
from modelpress.shipping import dependencies, helpers, part_providers
from modelpress.specs import ANY_FORMAT, FormatSpec, Spec
from modelpress.system import Environment


class Libraries:
    """The versions on each system of a workflow. What is absent or too old there is told at the end, once for
    each system: what, for which steps, and the one command that brings it."""

    def __init__(
        self, draft: WorkflowDraft, registry: Registry, systems: OpenSystems, findings: Findings
    ) -> None:
        self._draft = draft
        self._registry = registry
        self._systems = systems
        self._findings = findings
        self._found: dict[str, Environment | None] = {}
        self._missing: dict[str, _Missing] = {}

    def complete(self, system: str) -> bool:
        """Whether tasks can be planned for the system: it is there, and so is all that was checked so far."""
        return self._on(system) is not None and system not in self._missing

    def check(
        self, owners: Iterable[Registered[Spec]], system: str, context: StepContext
    ) -> Mapping[str, str]:
        """Versions of all that the owners require on the system. What is absent or too old will be told."""
        environment = self._on(system)
        installed = environment.libraries if environment else {}
        owners = list(owners)
        if environment and environment.suffixes and self._systems.get(system).traits.ships_code:
            self._check_code(owners, system, environment, context)
        found = {"environment": environment.digest} if environment and environment.digest else {}
        for owner in owners:
            requires = required_by(owner)
            names = required_names(requires)
            found.update({name: installed[name] for name in names if name in installed})
            lacking = lacks(requires, installed)
            if lacking and environment and not environment.digest:
                self._missing.setdefault(system, _Missing()).add(lacking, context, owner)
        return found

    def _check_code(
        self, owners: Iterable[Registered[Spec]], system: str, environment: Environment, context: StepContext
    ) -> None:
        """Tell of compiled code that would be carried to a Python that cannot import it."""
        for owner in owners:
            code = [*owner.provider.folders, *helpers(owner.provider)]
            if file := not_for(code, environment.suffixes):
                python = f"Python {environment.python}" if environment.python else "the Python"
                context.problem(
                    f"{file.name} of {owner.distribution} is compiled for another place than {system!r}: "
                    f"{python} there imports {environment.suffixes[0]}.",
                    "Run the step on this machine, or give the system the Python and platform of this one.",
                )

    def tell(self) -> None:
        """Tell what was found to be missing: one problem for each system."""
        for system, missing in self._missing.items():
            self._findings.problem(
                missing.path or f"systems.{system}",
                f"The Python of {system!r} lacks what is needed there: {missing.told()}.",
                f"Install it there: pip install {missing.remedy()}",
                kind="dependency",
            )

    def formats(self, *names: str) -> list[Registered[FormatSpec]]:
        """Those formats that a plugin brings."""
        found = (self._registry.get(FormatSpec, name) for name in dict.fromkeys(names))
        return [entry for entry in found if entry]

    def environment(self, system: str) -> Environment:
        """What the system says of its Python; nothing where it cannot be asked."""
        return self._on(system) or Environment()

    def _on(self, system: str) -> Environment | None:
        if system not in self._found:
            self._found[system] = self._ask(system)
        return self._found[system]

    def _ask(self, name: str) -> Environment | None:
        if name not in self._systems:
            return None  # what is wrong with it was told when the file was read
        path = f"systems.{name}"
        try:
            found = self._systems.environment(name, _wanted(self._draft, self._registry, name))
        except (HostError, UserError) as error:
            self._findings.problem(path, error.message, error.hint, step=name)
            return None
        lacking = lacks(WORKER_REQUIRES, found.libraries)
        if lacking and not found.digest:
            self._missing.setdefault(name, _Missing()).add(lacking)
        return found


def required_by(owner: Registered[Spec]) -> tuple[str, ...]:
    """What a pass, a metric, a format or a data container needs, and the distribution that brings it."""
    parts = [text for _, provider in part_providers(owner.spec) for text in dependencies(provider)]
    return tuple(dict.fromkeys([*owner.spec.requires, *dependencies(owner.provider), *parts]))


def requires_of(owners: Iterable[Registered[Spec]]) -> tuple[str, ...]:
    """What has to be installed where these do their work, the worker's own requirements included."""
    texts = [text for owner in owners for text in required_by(owner)]
    return tuple(dict.fromkeys([*texts, *WORKER_REQUIRES]))


def _wanted(draft: WorkflowDraft, registry: Registry, system: str) -> Sequence[str]:
    """All that the work on one system may require: it is asked for all at once."""
    owners: list[Registered[Spec]] = []
    before = draft.input_model.produces
    if target_system(draft) == system:
        owners += _of_metrics(draft, registry, draft.metrics, before)
    for choice in draft.passes:
        after = before if choice.produces == "same" else choice.produces
        if isinstance(choice, PassChoice) and choice.host == system:
            owners += [choice.registered, *_formats(registry, before, after), *_data(draft, choice.data)]
        if isinstance(choice, PassChoice) and target_system(draft) == system:
            owners += _of_metrics(draft, registry, choice.metrics, after)
        before = after
    return sorted(requires_of(owners))


def _of_metrics(
    draft: WorkflowDraft, registry: Registry, metrics: Iterable[MetricChoice], format: str
) -> list[Registered[Spec]]:
    found: list[Registered[Spec]] = []
    for metric in metrics:
        found += [metric.registered, *_formats(registry, format), *_data(draft, metric.data)]
    return found


def _formats(registry: Registry, *names: str) -> list[Registered[Spec]]:
    """The formats of these names; all where one of them is not known."""
    unknown = {ANY_FORMAT, ""} & set(names)
    return [entry for entry in registry.all(FormatSpec) if unknown or entry.spec.name in names]


def _data(draft: WorkflowDraft, roles: Mapping[str, str]) -> list[Registered[Spec]]:
    return [draft.data[name].registered for name in roles.values() if name in draft.data]


@dataclass(slots=True)
class _Missing:
    """What one system lacks. path: of the first step that needs it."""

    path: str = ""
    _needed_by: dict[Lack, list[str]] = field(default_factory=dict)
    _owners: dict[str, Registered[Spec]] = field(default_factory=dict)
    _alone: list[str] = field(default_factory=list)

    def add(
        self,
        lacking: Sequence[Lack],
        context: StepContext | None = None,
        owner: Registered[Spec] | None = None,
    ) -> None:
        """context, owner: None for what the worker itself needs."""
        for lack in lacking:
            steps = self._needed_by.setdefault(lack, [])
            if context and context.step not in steps:
                steps.append(context.step)
            if not owner:
                self._alone.append(lack.requirement)
        if context and owner:
            self.path = self.path or context.path
            self._owners[owner.install_name] = owner

    def told(self) -> str:
        """`torch>=2.9 (lora, merge); onnx>=1.20 (builder)`, by the steps that need it."""
        groups: dict[tuple[str, ...], list[str]] = {}
        for lack, steps in self._needed_by.items():
            groups.setdefault(tuple(steps), []).append(lack.told())
        return "; ".join(
            f"{', '.join(libraries)} ({', '.join(steps) or 'the worker'})"
            for steps, libraries in groups.items()
        )

    def remedy(self) -> str:
        """What pip is told to install: of extras that contain one another, the largest."""
        brought = {name: _brings(owner) for name, owner in self._owners.items()}
        needless = {
            name
            for name, own in brought.items()
            if any(own < more or (own == more and other < name) for other, more in brought.items())
        }
        wanted = [name for name in brought if name not in needless]
        return " ".join(f'"{name}"' for name in [*self._alone, *wanted])


def _brings(owner: Registered[Spec]) -> frozenset[str]:
    """What installing its distribution with its extra adds. An extra that the metadata do not know brings
    what nobody else does."""
    extra = owner.spec.extra
    known = by_extra(owner.distribution, owner.provider.requires)
    added = known.get(extra, [owner.install_name]) if extra else []
    return frozenset([owner.distribution, *added])
