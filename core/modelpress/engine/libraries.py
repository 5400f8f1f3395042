"""What tasks require of the systems that they run on: each system is asked once, for all of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from modelpress.config.workflow import PassChoice, WorkflowDraft
from modelpress.engine.plan_context import Findings, StepContext
from modelpress.engine.systems import OpenSystems
from modelpress.errors import HostError
from modelpress.registry import Registered, Registry
from modelpress.requirements import WORKER_REQUIRES, lacks, required_names
from modelpress.specs import ANY_FORMAT, FormatSpec, MetricSpec, PassSpec, Spec


class Libraries:
    """The versions on each system of a workflow. A system that cannot be used is told, once."""

    def __init__(
        self, draft: WorkflowDraft, registry: Registry, systems: OpenSystems, findings: Findings
    ) -> None:
        self._draft = draft
        self._registry = registry
        self._systems = systems
        self._findings = findings
        self._wanted = _wanted_names(draft, registry)
        self._installed: dict[str, Mapping[str, str] | None] = {}

    def usable(self, system: str) -> bool:
        """Whether tasks can be planned for the system; why not has been told."""
        return self._on(system) is not None

    def check(
        self, owners: Iterable[Registered[Spec]], system: str, context: StepContext
    ) -> Mapping[str, str]:
        """Versions of all that the owners require on the system. What is absent or too old is told."""
        installed = self._on(system)
        if installed is None:
            return {}
        found: dict[str, str] = {}
        for owner in owners:
            lacking = lacks(owner.spec.requires, installed)
            if lacking:
                listed = ", ".join(str(lack) for lack in lacking)
                message = f"{_name(owner)} needs {listed} on {system!r}."
                context.problem(message, owner.install_hint, kind="dependency")
            names = required_names(owner.spec.requires)
            found.update({name: installed[name] for name in names if name in installed})
        return found

    def formats(self, *names: str) -> list[Registered[FormatSpec]]:
        """Those formats that a plugin brings."""
        found = (self._registry.get(FormatSpec, name) for name in dict.fromkeys(names))
        return [entry for entry in found if entry]

    def _on(self, system: str) -> Mapping[str, str] | None:
        if system not in self._installed:
            self._installed[system] = self._ask(system)
        return self._installed[system]

    def _ask(self, name: str) -> Mapping[str, str] | None:
        if name not in self._systems:
            return None  # what is wrong with it was told when the file was read
        path = f"systems.{name}"
        try:
            installed = self._systems.get(name).libraries(self._wanted)
        except HostError as error:
            self._findings.problem(path, error.message, error.hint, step=name)
            return None
        lacking = lacks(WORKER_REQUIRES, installed)
        if lacking:
            install = " ".join(f'"{lack.requirement}"' for lack in lacking)
            self._findings.problem(
                path,
                f"The Python of {name!r} needs {', '.join(str(lack) for lack in lacking)}.",
                f"Install them in that environment: pip install {install}",
                step=name,
                kind="dependency",
            )
        return installed


def _wanted_names(draft: WorkflowDraft, registry: Registry) -> Sequence[str]:
    """Every distribution that anything in the workflow may need: a system is asked for all at once."""
    formats = {draft.input_model.produces}
    specs: list[Spec] = []
    for choice in draft.passes:
        formats |= {*choice.accepts, choice.produces}
        if isinstance(choice, PassChoice):
            specs.append(choice.registered.spec)
    specs += [metric.registered.spec for metrics in draft.evaluators.values() for metric in metrics]
    specs += [data.registered.spec for data in draft.data.values()]
    any_of_them = ANY_FORMAT in formats
    specs += [entry.spec for entry in registry.all(FormatSpec) if any_of_them or entry.spec.name in formats]
    requires = [text for spec in specs for text in spec.requires]
    return required_names([*requires, *WORKER_REQUIRES])


def _name(owner: Registered[Spec]) -> str:
    spec = owner.spec
    return spec.name if isinstance(spec, PassSpec | MetricSpec) else f"The {spec.kind} {spec.name}"
