"""A system of a plugin, behind the fence: whatever fails in it names the plugin."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from modelpress.context import Accelerator
from modelpress.fence import Origin, check_answer, fault, fence
from modelpress.options import Options
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


class FencedSystem:
    """What it answers is checked, and what it raises becomes a PluginError or passes through."""

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
