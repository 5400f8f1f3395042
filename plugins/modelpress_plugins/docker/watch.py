"""Follows a container: its events and answer from the job's folder, its end from the engine."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

from docker.models.containers import Container

from modelpress.api import EventReader, HostError, Log, Tell, WorkerDied, size
from modelpress_plugins.docker import inside
from modelpress_plugins.docker.engine import Unreachable, asking

_ANSWERS = ("result.json", "error.json")
OVER = ("exited", "dead", "stopped", "removing")
_POLL_SECONDS = 0.02
_LOOK_SECONDS = 2.0
"""Between two looks at a container whose first process has not said that it ends: to ask an engine is dear,
and many do so at once."""
_PATIENCE = 120.0
"""Seconds for which an engine may be away, restarted perhaps: containers go on without it."""
_LINES = 5


class Watch:
    """One container. find: looks it up, None when it has gone."""

    def __init__(self, find: Callable[[], Container | None], folder: Path, tell: Tell) -> None:
        self._find = find
        self._folder = folder
        self._tell = tell
        self._away = 0.0

    def until_it_ends(self) -> Container | None:
        """Returns it, when its work is at its end; None when it has gone. Raises HostError when the engine is
        away for too long."""
        reader = EventReader(self._folder / "events.jsonl", self._tell)
        looked = time.monotonic()
        while True:
            if time.monotonic() - looked > _LOOK_SECONDS or (self._folder / inside.ENDED).exists():
                ended, container = self._look()
                looked = time.monotonic()
                if ended:
                    reader.read()
                    return container
            reader.read()
            time.sleep(_POLL_SECONDS)

    @property
    def has_answered(self) -> bool:
        return any((self._folder / name).exists() for name in _ANSWERS)

    def _look(self) -> tuple[bool, Container | None]:
        try:
            container = self._find()
        except Unreachable as error:
            self._wait(error)
            return False, None
        if self._away:
            self._tell(Log("note", "The Docker engine answers again."))
            self._away = 0.0
        over = container is None or container.status in OVER or (self._folder / inside.ENDED).exists()
        return over, container

    def _wait(self, error: Unreachable) -> None:
        if not self._away:
            self._away = time.monotonic()
            self._tell(Log("warning", f"{error.message} The job goes on there; trying again."))
        elif time.monotonic() - self._away > _PATIENCE:
            raise error
        time.sleep(1.0)


def death(container: Container | None, folder: Path, limit: int) -> HostError | WorkerDied:
    """Why a job gave no answer. limit: bytes of memory that its container could have; 0 for any number."""
    if container is None:
        return WorkerDied("The container has gone, and gave no answer.", "Run the same command again.")
    with asking("how the container ended"):
        state = container.attrs.get("State") or {}
        said = container.logs(tail=50).decode("utf-8", "replace").strip()
    ended = _ended(folder)
    if state.get("OOMKilled") or ended.get("memory_kills"):
        held = f" It held {size(ended['memory'])}." if ended.get("memory") else ""
        allowed = f" of {size(limit)}" if limit else ""
        return WorkerDied(
            f"The container reached its memory limit{allowed}, and was ended.{held}",
            "Raise `memory` of the system, or use smaller batches, blocks or sequences.",
        )
    if told := _unwritten(said):
        return WorkerDied(*told)
    code = ended.get("code", int(state.get("ExitCode") or 0))
    how = f"signal {_signal(code)}" if _signal(code) else f"exit code {code}"
    log = "\n".join([*_tail(folder / "log.txt"), *said.splitlines()[-_LINES:]])
    return WorkerDied(
        f"The worker ended with {how} and gave no answer." + (f"\n{log}" if log else ""),
        f"What it printed is in {folder / 'log.txt'}.",
    )


def _ended(folder: Path) -> dict[str, int]:
    """What the container's first process wrote down."""
    try:
        said = json.loads((folder / inside.ENDED).read_text(encoding="utf-8"))
        return {str(name): int(value) for name, value in said.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _unwritten(said: str) -> tuple[str, str] | None:
    """(message, hint) of an error that the worker could not write into its folder."""
    try:
        told = json.loads(said.splitlines()[-1]) if said else {}
        return str(told["message"]), str(told.get("hint", ""))
    except (ValueError, KeyError, TypeError):
        return None


def _signal(code: int) -> str:
    """The name of the signal that a process ended by; empty for none."""
    number = -code if code < 0 else code - 128
    try:
        return signal.Signals(number).name if number > 0 else ""
    except ValueError:
        return ""


def _tail(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-_LINES:]
    except OSError:
        return []
