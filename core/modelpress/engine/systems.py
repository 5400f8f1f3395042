"""The systems of a run: opened when first used, closed together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from modelpress import worker
from modelpress.config.workflow import LOCAL_SYSTEM, WorkflowParts
from modelpress.context import System
from modelpress.engine.cache import Cache
from modelpress.engine.inputs import Place, resolve_options
from modelpress.engine.process import EventReader
from modelpress.engine.resources import RemoteResource
from modelpress.events import Event
from modelpress.provider import installed_versions
from modelpress.registry import Registry
from modelpress.specs import SystemSpec


class OpenSystems:
    """Opens each system of a workflow once; `local` is always there."""

    def __init__(
        self, workflow: WorkflowParts, registry: Registry, place: Place, *, in_process: bool = False
    ) -> None:
        self.place = place
        self._workflow = workflow
        self._registry = registry
        self._in_process = in_process
        self._open: dict[str, System] = {}

    def __contains__(self, name: str) -> bool:
        return name == LOCAL_SYSTEM or name in self._workflow.systems

    def get(self, name: str) -> System:
        """The system of that name, which is one of these. Raises HostError when it cannot be opened."""
        if name not in self._open:
            self._open[name] = self._make(name)
        return self._open[name]

    def ready(self, name: str, cache: Cache, tell: Callable[[Event], None]) -> System:
        """The same, to be worked on: files that its options name are fetched first."""
        if name in self._workflow.systems:
            options = self._workflow.systems[name].options
            inputs = resolve_options(options, name, self.place, _untold).inputs.values()
            elsewhere = [each for each in inputs if isinstance(each, RemoteResource) and not each.path]
            for resource in elsewhere:
                resource.bring(cache, tell)
            if elsewhere and name in self._open:
                self._open.pop(name).close()  # it was opened for the plan, without them
        return self.get(name)

    def _make(self, name: str) -> System:
        if self._in_process:
            return InProcessSystem(name)
        if name in self._workflow.systems:
            choice = self._workflow.systems[name]
            registered = choice.registered
            options = resolve_options(choice.options, name, self.place, _untold).here
        else:
            registered = self._registry.find(SystemSpec, "LocalSystem")
            options = registered.resolve(registered.spec.config).parse({})
        opened: System = registered.resolve(registered.spec.open)(options, name)
        return opened

    def close(self) -> None:
        """Close all that were opened."""
        for system in self._open.values():
            system.close()
        self._open.clear()


def _untold(message: str, hint: str, option: str) -> None:
    """The plan has told it already."""


class InProcessSystem:
    """Runs jobs in this very process, for debuggers: a breakpoint in a pass stops here."""

    ships_code = False

    def __init__(self, name: str) -> None:
        self.name = name

    def libraries(self, names: Sequence[str]) -> Mapping[str, str]:
        return installed_versions(names)

    def run(self, folder: Path, on_event: Callable[[Event], None]) -> None:
        worker.work(folder)
        EventReader(folder / "events.jsonl", on_event).read()

    def close(self) -> None:
        """Nothing is kept."""
