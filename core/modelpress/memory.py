"""How much memory a process takes, at its peak; on any platform, exact on Linux."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Self

import psutil

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_SAMPLE_SECONDS = 0.1


class PeakMemory:
    """The peak resident memory of this process inside a `with` block, in `bytes`.

    Linux keeps a high-water mark that can be set back; elsewhere a thread samples ten times a second.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        try:
            _CLEAR.write_text("5", encoding="ascii")
        except OSError:
            self._thread = threading.Thread(target=self._sample, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is None:
            self.bytes = _high_water_mark()
        else:
            self._stop.set()
            self._thread.join()

    def _sample(self) -> None:
        process = psutil.Process()
        while True:
            self.bytes = max(self.bytes, process.memory_info().rss)
            if self._stop.wait(_SAMPLE_SECONDS):
                return


def _high_water_mark() -> int:
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def tree_memory(pid: int) -> int:
    """Resident bytes of a process and its children now; 0 when it has gone."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for member in family:
        try:
            total += member.memory_info().rss
        except psutil.Error:
            continue
    return total


def available_memory() -> int:
    """Bytes that could be had without swapping."""
    return int(psutil.virtual_memory().available)


def out_of_memory_kills() -> int:
    """How often the kernel has killed a process for memory, as far as it tells; 0 elsewhere."""
    total = 0
    sources = ((Path("/proc/vmstat"), "oom_kill"), (Path("/sys/fs/cgroup/memory.events"), "oom_kill"))
    for path, name in sources:
        try:
            lines = path.read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        total += sum(int(value) for key, value in (line.split() for line in lines) if key == name)
    return total
