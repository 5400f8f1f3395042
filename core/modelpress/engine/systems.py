"""The systems of a run: opened when first used, closed together."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelpress.config.workflow import LOCAL_SYSTEM, WorkflowParts
from modelpress.engine.cache import Cache
from modelpress.engine.fenced_system import FencedSystem
from modelpress.engine.inputs import Lookup, resolve_options
from modelpress.engine.resources import RemoteResource
from modelpress.engine.scheduler import Slots
from modelpress.errors import ModelpressError
from modelpress.events import Event
from modelpress.json_types import JSONValue
from modelpress.options import Options
from modelpress.registry import Registered, Registry
from modelpress.secrets import look_through
from modelpress.specs import SystemSpec
from modelpress.system import Environment, System

OpenSystem = Callable[[str], System]
"""Opens the system of a name."""


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
    """Opens each system of a workflow once; `local` is always there.

    instead: opens every system, instead of the plugin that brings it
    """

    def __init__(
        self, workflow: WorkflowParts, registry: Registry, lookup: Lookup, instead: OpenSystem | None = None
    ) -> None:
        self.lookup = lookup
        self._workflow = workflow
        self._registry = registry
        self._instead = instead
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
        if self._instead or (place.name in self and self.record(place.name) == place):
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
        return self._instead(name) if self._instead else _open(*self._chosen(name), name)

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
    return FencedSystem(registered.call(registered.spec.open, options, name), registered.origin)


def _untold(message: str, hint: str, option: str) -> None:
    """The plan has told it already."""
