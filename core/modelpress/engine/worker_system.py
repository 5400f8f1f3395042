"""What systems of this machine share: jobs run in warm workers, read its paths, and end with the run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from modelpress.context import Accelerator
from modelpress.engine.process import EVENTS, EventReader, WarmWorker, end_family
from modelpress.errors import WorkerDied
from modelpress.requirements import required_names
from modelpress.system import SHARES_ALL, Environment, Handle, Tell, Traits


class WorkerSystem:
    """A System over workers; a subclass says which Python it is.

    new_worker: makes one, not started yet. Up to traits.max_jobs are at work at once
    keep:       whether a worker that has done its job does the next one, too
    """

    def __init__(
        self,
        name: str,
        new_worker: Callable[[], WarmWorker],
        traits: Traits = SHARES_ALL,
        *,
        keep: bool = True,
    ) -> None:
        self.name = name
        self.traits = traits
        self._new_worker = new_worker
        self._keep = keep
        self._idle: list[WarmWorker] = []
        self._at_work: dict[str, WarmWorker] = {}
        self._lock = threading.Lock()

    def libraries(self, names: Sequence[str]) -> Mapping[str, str]:
        """Versions of those distributions that are installed there. Raises HostError."""
        return self._new_worker().libraries(names)

    def environment(self, requires: Sequence[str]) -> Environment:
        return Environment(libraries=self.libraries(required_names(requires)))

    def has(self, accelerator: Accelerator) -> bool:
        return accelerator == Accelerator()  # the CPU, and no more

    def prepare(self, requires: Sequence[str], tell: Tell) -> None:
        """It is there already."""

    def submit(self, folder: Path) -> Handle:
        name = str(folder.resolve())
        with self._lock:
            worker = self._idle.pop() if self._idle else self._new_worker()
            self._at_work[name] = worker
        try:
            process = worker.start(folder)
        except BaseException:
            with self._lock:
                del self._at_work[name]
            raise
        return {"folder": name, "process": process.pid, "created": process.create_time()}

    def watch(self, handle: Handle, tell: Tell) -> None:
        name = str(handle["folder"])
        worker = self._at_work.get(name)
        if worker is None:
            self._follow(handle, tell)
            return
        try:
            worker.wait(Path(name), tell)
        finally:
            with self._lock:
                del self._at_work[name]
                if self._keep:
                    self._idle.append(worker)
            if not self._keep:
                worker.close()

    def _follow(self, handle: Handle, tell: Tell) -> None:
        """Watch a job of another process, which is there as long as that process."""
        folder = Path(str(handle["folder"]))
        reader = EventReader(folder / EVENTS, tell)
        while not any((folder / name).exists() for name in ("result.json", "error.json")):
            if _process(handle) is None:
                raise WorkerDied("The job ended with the run that started it.", "Run the workflow again.")
            reader.read()
            time.sleep(_POLL_SECONDS)
        reader.read()

    def collect(self, handle: Handle, parts: Sequence[str], folder: Path) -> None:
        """It is all here."""

    def cancel(self, handle: Handle) -> None:
        process = _process(handle)
        if process is not None:
            with suppress(psutil.Error):
                end_family(process)

    def close(self) -> None:
        with self._lock:
            workers = [*self._idle, *self._at_work.values()]
            self._idle.clear()
        for worker in workers:
            worker.close()


_POLL_SECONDS = 0.05


def _process(handle: Handle) -> psutil.Process | None:
    """The worker, if it lives."""
    try:
        process = psutil.Process(int(str(handle["process"])))
        return process if process.create_time() == handle["created"] else None
    except psutil.Error:
        return None
