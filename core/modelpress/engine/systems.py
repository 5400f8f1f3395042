"""The systems of a run: opened when first used, closed together."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from modelpress import worker
from modelpress.config.workflow import LOCAL_SYSTEM, WorkflowParts
from modelpress.context import Accelerator
from modelpress.engine.cache import Cache
from modelpress.engine.inputs import Lookup, resolve_options
from modelpress.engine.process import EventReader
from modelpress.engine.resources import RemoteResource
from modelpress.engine.scheduler import Slots
from modelpress.errors import ModelpressError
from modelpress.events import Event
from modelpress.fence import Origin, check_answer, fault, fence
from modelpress.json_types import JSONValue
from modelpress.options import Options
from modelpress.provider import installed_versions
from modelpress.registry import Registered, Registry
from modelpress.requirements import required_names
from modelpress.secrets import look_through
from modelpress.specs import SystemSpec
from modelpress.system import (
    Environment,
    Handle,
    JoiningSystem,
    MountingSystem,
    RegisteringSystem,
    System,
    Tell,
    Traits,
)


@dataclass(frozen=True, slots=True)
class PlaceRecord:
    """Which system it is and how it is reached, so that it can be opened again without the workflow."""

    name: str
    type: str
    options: dict[str, JSONValue]

    def open(self, registry: Registry) -> System:
        """Raises UserError when no plugin brings such a system, HostError when it cannot be opened."""
        registered = registry.find(SystemSpec, self.type)
        return _open(registered, registered.parse(self.options), self.name)


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
        self._environments: dict[tuple[str, tuple[str, ...]], Environment] = {}
        self._asked: dict[str, tuple[str, ...]] = {}
        self._prepared: dict[str, tuple[str, ...]] = {}
        self._lock = threading.RLock()

    def __contains__(self, name: str) -> bool:
        return name == LOCAL_SYSTEM or name in self._workflow.systems

    def get(self, name: str) -> System:
        """The system of that name, which is one of these. Raises HostError when it cannot be opened."""
        with self._lock:
            if name not in self._open:
                self._open[name] = self._make(name)
            return self._open[name]

    def environment(self, name: str, requires: Sequence[str]) -> Environment:
        """What the system says of its Python; asked once for the same requirements, which are those of all
        that a workflow does there."""
        asked = (name, tuple(requires))
        self._asked[name] = asked[1]
        if asked not in self._environments:
            self._environments[asked] = self.get(name).environment(asked[1])
        return self._environments[asked]

    def unmade(self) -> list[str]:
        """Systems whose environments have still to be made, so that nobody knows what will be in them."""
        return [
            name
            for (name, requires), found in self._environments.items()
            if found.digest and self._asked.get(name) == requires
        ]

    def make(self, name: str, cache: Cache, tell: Callable[[Event], None]) -> None:
        """Make the environment of one of them; what is in it is asked anew."""
        self.ready(name, cache, tell)
        del self._environments[name, self._asked[name]]

    def ready(self, name: str, cache: Cache, tell: Callable[[Event], None]) -> System:
        """The same, to be worked on: files that its options name are fetched first, its environment made."""
        with self._lock:
            if name in self._workflow.systems:
                options = self._workflow.systems[name].options
                inputs = resolve_options(options, name, self.lookup, _untold).inputs.values()
                elsewhere = [each for each in inputs if isinstance(each, RemoteResource) and not each.path]
                for resource in elsewhere:
                    resource.bring(cache, tell)
                if elsewhere and name in self._open:
                    self._open.pop(name).close()  # it was opened for the plan, without them
            system = self.get(name)
            requires = self._asked.get(name, ())
            if self._prepared.get(name) != requires:
                system.prepare(requires, tell)
                self._prepared[name] = requires
            return system

    def at(self, place: PlaceRecord) -> System:
        """The system where a job of an earlier run is: perhaps another than this workflow names so."""
        if self._in_process or (place.name in self and self.record(place.name) == place):
            return self.get(place.name)
        with self._lock:
            name = json.dumps([place.type, place.options], sort_keys=True)
            if name not in self._open:
                self._open[name] = place.open(self._registry)
            return self._open[name]

    def slots(self, name: str) -> Slots:
        """What it can bear; for the scheduler."""
        traits = self.get(name).traits
        return Slots(traits.max_jobs, "here" if traits.is_here else name)

    def record(self, name: str) -> PlaceRecord:
        """How to reach it in another process."""
        registered, options = self._chosen(name)
        canonical = options.canonical()
        look_through(canonical)  # it is written down before a worker is started with these variables
        return PlaceRecord(name, registered.spec.name, canonical)

    def _chosen(self, name: str) -> tuple[Registered[SystemSpec], Options]:
        if name in self._workflow.systems:
            choice = self._workflow.systems[name]
            return choice.registered, resolve_options(choice.options, name, self.lookup, _untold).here
        registered = self._registry.find(SystemSpec, "LocalSystem")
        return registered, registered.parse({})

    def _make(self, name: str) -> System:
        return InProcessSystem(name) if self._in_process else _open(*self._chosen(name), name)

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


def _open(registered: Registered[SystemSpec], options: Options, name: str) -> System:
    return _FencedSystem(registered.call(registered.spec.open, options, name), registered.origin)


class _FencedSystem:
    """A plugin's system, whose failures name the plugin."""

    def __init__(self, system: System, origin: Origin) -> None:
        self.name = system.name
        self._system = system
        self._origin = origin
        with self._fence("traits") as function:
            self.traits = system.traits
            check_answer(origin, function, self.traits, Traits)

    def environment(self, requires: Sequence[str]) -> Environment:
        with self._fence("environment") as function:
            found = self._system.environment(requires)
            check_answer(self._origin, function, found, Environment)
            return found

    def has(self, accelerator: Accelerator) -> bool:
        with self._fence("has") as function:
            found = self._system.has(accelerator)
            check_answer(self._origin, function, found, bool)
            return found

    def prepare(self, requires: Sequence[str], tell: Tell) -> None:
        with self._fence("prepare"):
            self._system.prepare(requires, tell)

    def submit(self, folder: Path) -> Handle:
        with self._fence("submit") as function:
            handle = self._system.submit(folder)
            if not _is_handle(handle):
                raise fault(self._origin, function, f"it returned {handle!r:.100}, expected a dict of JSON")
            return handle

    def submit_joined(self, folders: Sequence[Path]) -> Sequence[Handle]:
        with self._fence("submit_joined") as function:
            handles = cast("JoiningSystem", self._system).submit_joined(folders)
            if len(handles) != len(folders) or not all(map(_is_handle, handles)):
                what = (
                    f"it returned {handles!r:.100}, expected a dict of JSON for each of {len(folders)} jobs"
                )
                raise fault(self._origin, function, what)
            return handles

    def can_mount(self, options: Options) -> bool:
        with self._fence("can_mount") as function:
            found = cast("MountingSystem", self._system).can_mount(options)
            check_answer(self._origin, function, found, bool)
            return found

    def register(self, model: Handle | Path, key: str, lineage: Mapping[str, str], tell: Tell) -> None:
        with self._fence("register"):
            cast("RegisteringSystem", self._system).register(model, key, lineage, tell)

    def watch(self, handle: Handle, tell: Tell) -> None:
        with self._fence("watch"):
            self._system.watch(handle, tell)

    def collect(self, handle: Handle, parts: Sequence[str], folder: Path) -> None:
        with self._fence("collect"):
            self._system.collect(handle, parts, folder)

    def cancel(self, handle: Handle) -> None:
        with self._fence("cancel"):
            self._system.cancel(handle)

    def close(self) -> None:
        with self._fence("close"):
            self._system.close()

    @contextmanager
    def _fence(self, method: str) -> Iterator[str]:
        cls = type(self._system)
        function = f"{cls.__module__}:{cls.__qualname__}.{method}"
        with fence(self._origin, function):
            yield function


def _is_handle(value: object) -> bool:
    try:
        return isinstance(value, dict) and bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False


def _untold(message: str, hint: str, option: str) -> None:
    """The plan has told it already."""


class InProcessSystem:
    """Runs jobs in this very process, for debuggers: a breakpoint in a pass stops here."""

    traits = Traits()

    def __init__(self, name: str) -> None:
        self.name = name

    def environment(self, requires: Sequence[str]) -> Environment:
        return Environment(libraries=installed_versions(required_names(requires)))

    def has(self, accelerator: Accelerator) -> bool:
        return True  # whoever debugs knows his machine

    def prepare(self, requires: Sequence[str], tell: Tell) -> None:
        """It is there."""

    def submit(self, folder: Path) -> Handle:
        return {"folder": str(folder)}

    def watch(self, handle: Handle, tell: Tell) -> None:
        folder = Path(str(handle["folder"]))
        worker.work(folder)
        EventReader(folder / "events.jsonl", tell).read()

    def collect(self, handle: Handle, parts: Sequence[str], folder: Path) -> None:
        """It is here."""

    def cancel(self, handle: Handle) -> None:
        """It ended with what interrupted it."""

    def close(self) -> None:
        """Nothing is kept."""
