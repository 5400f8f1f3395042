"""Ends a worker whose job takes longer than its plan or its user allows (timeout, watchdog).

The pass may hang in a library, where nothing of Python runs: the last word is written by a thread, and where
even that gets no turn, the process ends by a timer of faulthandler's own.
"""

from __future__ import annotations

import faulthandler
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

serves = False
"""Whether this process is a worker and nothing else, which may be ended for one job."""
_GRACE = 10.0
"""Seconds for the thread to write its word."""


@contextmanager
def within(seconds: float, last_word: Callable[[], None]) -> Iterator[None]:
    """End this process when the block takes longer. seconds: 0 for no limit; last_word: called before."""
    if not (seconds and serves):
        yield
        return

    def expire() -> None:
        last_word()
        os._exit(0)

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    faulthandler.dump_traceback_later(seconds + _GRACE, exit=True)
    try:
        yield
    finally:
        timer.cancel()
        faulthandler.cancel_dump_traceback_later()
