"""The systems of a run: opened when first used, closed together."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from modelpress import worker
from modelpress.config.workflow import LOCAL_SYSTEM, WorkflowParts
from modelpress.context import Accelerator, System
from modelpress.engine.cache import Cache
from modelpress.engine.inputs import Lookup, resolve_options
from modelpress.engine.process import EventReader
from modelpress.engine.resources import RemoteResource
from modelpress.errors import ModelpressError
from modelpress.events import Event
from modelpress.fence import Origin, check_answer, fence
from modelpress.provider import installed_versions
from modelpress.registry import Registry
from modelpress.specs import SystemSpec


class OpenSystems:
    """Opens each system of a workflow once; `local` is always there."""

    def __init__(
        self, workflow: WorkflowParts, registry: Registry, lookup: Lookup, *, in_process: bool = False
    ) -> None:
        self.lookup = lookup
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
            inputs = resolve_options(options, name, self.lookup, _untold).inputs.values()
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
            options = resolve_options(choice.options, name, self.lookup, _untold).here
        else:
            registered = self._registry.find(SystemSpec, "LocalSystem")
            options = registered.parse({})
        return _FencedSystem(registered.call(registered.spec.open, options, name), registered.origin)

    def close(self) -> None:
        """Close all that were opened, also when one fails at it. Raises its error, if there is no other."""
        failed: list[ModelpressError] = []
        for system in self._open.values():
            try:
                system.close()
            except ModelpressError as error:
                failed.append(error)
        self._open.clear()
        if failed and sys.exception() is None:
            raise failed[0]


class _FencedSystem:
    """A plugin's system, whose failures name the plugin."""

    def __init__(self, system: System, origin: Origin) -> None:
        self.name = system.name
        self.ships_code = system.ships_code
        self._system = system
        self._origin = origin

    def libraries(self, names: Sequence[str]) -> Mapping[str, str]:
        with self._fence("libraries") as function:
            found = self._system.libraries(names)
            check_answer(self._origin, function, found, Mapping[str, str])
            return found

    def has(self, accelerator: Accelerator) -> bool:
        with self._fence("has") as function:
            found = self._system.has(accelerator)
            check_answer(self._origin, function, found, bool)
            return found

    def run(self, folder: Path, on_event: Callable[[Event], None]) -> None:
        with self._fence("run"):
            self._system.run(folder, on_event)

    def close(self) -> None:
        with self._fence("close"):
            self._system.close()

    @contextmanager
    def _fence(self, method: str) -> Iterator[str]:
        cls = type(self._system)
        function = f"{cls.__module__}:{cls.__qualname__}.{method}"
        with fence(self._origin, function):
            yield function


def _untold(message: str, hint: str, option: str) -> None:
    """The plan has told it already."""


class InProcessSystem:
    """Runs jobs in this very process, for debuggers: a breakpoint in a pass stops here."""

    ships_code = False

    def __init__(self, name: str) -> None:
        self.name = name

    def libraries(self, names: Sequence[str]) -> Mapping[str, str]:
        return installed_versions(names)

    def has(self, accelerator: Accelerator) -> bool:
        return True  # whoever debugs knows his machine

    def run(self, folder: Path, on_event: Callable[[Event], None]) -> None:
        worker.work(folder)
        EventReader(folder / "events.jsonl", on_event).read()

    def close(self) -> None:
        """Nothing is kept."""
