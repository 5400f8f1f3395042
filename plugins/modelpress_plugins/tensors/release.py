"""Memory between the stages of one pass."""

from __future__ import annotations

import ctypes
import gc
import sys
from pathlib import Path

_PAGEOUT = 21
"""MADV_PAGEOUT of Linux 5.4: the pages go out of memory; what was changed in them is kept."""


def give_back_memory(*, collect: bool = True) -> None:
    """Return to the system what was freed, so that one stage does not add to the peak of the next.

    glibc keeps the freed memory of threads for itself otherwise; other C libraries are left alone.
    collect: look for cycles of objects first, which takes a tenth of a second.
    """
    if collect:
        gc.collect()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def let_go_of_files(folder: Path) -> None:
    """Let the system take back the pages of files in a folder that this process has mapped. Who reads them
    once more gets them once more. On Linux only; elsewhere nothing happens."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for line in maps.read_text(encoding="utf-8", errors="replace").splitlines():
        addresses, _, rest = line.partition(" ")
        if rest.partition("/")[2].startswith(f"{folder.resolve()}/".removeprefix("/")):
            start, end = (int(address, 16) for address in addresses.split("-"))
            madvise(start, end - start, _PAGEOUT)
