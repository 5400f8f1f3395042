"""The memory that a piece of work takes beyond what the process had."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import psutil

from modelpress_plugins.tensors.release import give_back_memory

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_SAMPLE_SECONDS = 0.01


def peak_above(work: Callable[[], None]) -> int:
    """Bytes. Linux keeps a high-water mark; elsewhere a thread samples."""
    give_back_memory()
    before = psutil.Process().memory_info().rss
    try:
        _CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return max(0, _sampled(work) - before)
    work()
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return max(0, int(line.split()[1]) * 1024 - before)
    return 0


def _sampled(work: Callable[[], None]) -> int:
    highest, ended = [0], threading.Event()

    def sample() -> None:
        process = psutil.Process()
        while not ended.wait(_SAMPLE_SECONDS):
            highest[0] = max(highest[0], process.memory_info().rss)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        work()
    finally:
        ended.set()
        thread.join()
    return highest[0]
