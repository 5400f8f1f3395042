"""Where files are not shared: a job's folder on the machine that does it, and what goes back while it
works."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from modelpress_plugins.ray.order import Order
from modelpress_plugins.ray.transport import fetch, files_of, send

EVENTS = "events.jsonl"
_EVENTS_SECONDS = 0.2
_CHECKPOINT_SECONDS = 5.0
_BACK = ("log.txt", "out", "checkpoint", "error.json", "result.json")


def node_folder() -> Path:
    """Of this user, on this machine: inputs that jobs have in common, and the folders of jobs at work."""
    return Path(tempfile.gettempdir(), "modelpress-ray", str(ray.get_runtime_context().get_node_id())[:16])


@contextmanager
def carried(store: Any, order: Order) -> Iterator[Path]:
    """The job's folder, here while it is worked on. What it tells and keeps is brought back meanwhile, what
    it made at the end: the answer last."""
    place = node_folder()
    folder = place / "jobs" / order.id
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        fetch(store, f"jobs/{order.id}", folder)
        for part in ("inputs", "checkpoint"):
            (folder / part).mkdir(exist_ok=True)
        for name, stored in order.inputs.items():
            path = place / (stored or "data")
            if not stored:
                path.mkdir(exist_ok=True)
            elif not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                fetch(store, stored, path)
            (folder / "inputs" / f"{name}.ref").write_text(str(path), encoding="utf-8")
        carrier = _Carrier(store, order.id, folder)
        try:
            yield folder
        finally:
            carrier.finish()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Carrier:
    def __init__(self, store: Any, id: str, folder: Path) -> None:
        self._store = store
        self._name = f"jobs/{id}"
        self._folder = folder
        self._told = (folder / EVENTS).stat().st_size if (folder / EVENTS).exists() else 0
        self._seen = self._state()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        self._end.set()
        self._thread.join()
        self._events()
        for part in _BACK:
            if (self._folder / part).exists():
                send(self._store, self._folder / part, f"{self._name}/{part}")

    def _carry(self) -> None:
        rounds = 0
        while not self._end.wait(_EVENTS_SECONDS):
            rounds += 1
            with suppress(RayError, OSError):  # the next round, or the end, tries again
                self._events()
                if rounds % int(_CHECKPOINT_SECONDS / _EVENTS_SECONDS) == 0 and self._state() != self._seen:
                    self._seen = self._state()
                    send(self._store, self._folder / "checkpoint", f"{self._name}/checkpoint")

    def _events(self) -> None:
        try:
            with (self._folder / EVENTS).open("rb") as file:
                file.seek(self._told)
                told = file.read()
        except FileNotFoundError:
            return
        if told:
            ray.get(self._store.write.remote(self._name, EVENTS, self._told, told))
            self._told += len(told)

    def _state(self) -> list[tuple[str, int, int]]:
        found = []
        for path, file in files_of(self._folder / "checkpoint"):
            with suppress(FileNotFoundError):
                found.append((path, file.stat().st_size, file.stat().st_mtime_ns))
        return found
