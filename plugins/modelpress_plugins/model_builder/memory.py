"""Memory between the stages of a build."""

from __future__ import annotations

import ctypes
import gc
import sys


def give_back_memory() -> None:
    """Return to the system what was freed, so that one stage does not add to the peak of the next.

    glibc keeps the freed memory of threads for itself otherwise; other C libraries are left alone.
    """
    gc.collect()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
