"""The systems of a run: opened when first used, closed together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from modelpress import worker
from modelpress.config.workflow import LoadedWorkflow
from modelpress.context import System
from modelpress.engine.process import EventReader
from modelpress.events import Event
from modelpress.options import Options
from modelpress.provider import installed_versions
from modelpress.registry import Registry
from modelpress.specs import SystemSpec

DEFAULT_SYSTEM = "local"


class OpenSystems:
    """Opens each system of a workflow once. `default` runs what names no host: a plain LocalSystem."""

    default = DEFAULT_SYSTEM

    def __init__(self, workflow: LoadedWorkflow, registry: Registry, *, in_process: bool = False) -> None:
        self._workflow = workflow
        self._registry = registry
        self._in_process = in_process
        self._open: dict[str, System] = {}

    def get(self, name: str) -> System | None:
        """The system of that name; None when the workflow's entry for it is wrong (told already)."""
        if name not in self._open:
            opened = self._make(name)
            if opened is None:
                return None
            self._open[name] = opened
        return self._open[name]

    def _make(self, name: str) -> System | None:
        choice = self._workflow.systems.get(name)
        if choice is None and name != DEFAULT_SYSTEM:
            return None
        if choice is not None and (choice.registered is None or choice.options is None):
            return None
        if self._in_process:
            return InProcessSystem(name)
        if choice is None or choice.registered is None or choice.options is None:
            registered = self._registry.find(SystemSpec, "LocalSystem")
            options: Options = registered.resolve(registered.spec.config).parse({})
        else:
            registered, options = choice.registered, choice.options
        opened: System = registered.resolve(registered.spec.open)(options, name)
        return opened

    def local_libraries(self, names: Sequence[str]) -> dict[str, str]:
        """Versions of those distributions that are installed beside modelpress."""
        return installed_versions(names)

    def close(self) -> None:
        """Close all that were opened."""
        for system in self._open.values():
            system.close()
        self._open.clear()


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
