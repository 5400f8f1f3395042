"""Ctrl-C and SIGTERM, however often: the work ends in order, once, with exit code 130."""

from __future__ import annotations

import signal
import time
from types import FrameType

_GRACE = 15.0
"""Seconds in which further signals are passed over: ending a worker takes up to ten."""


class Interrupts:
    """Handles the signals of a command that runs as a process of its own."""

    def __init__(self) -> None:
        self._asked = -_GRACE

    def install(self) -> None:
        """Raise KeyboardInterrupt for each, where the process does not ignore them (nohup, a background job).

        Not again while the first is being worked off: a second one would cut that short and leave the worker.
        """
        self._handle(self._interrupt)

    def end(self) -> None:
        """The command is over: what comes now is passed over. (While Python takes itself down it has no
        handler any more, and the signal's own exit code.)"""
        self._handle(signal.SIG_IGN)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._asked < _GRACE:
            return
        self._asked = now
        raise KeyboardInterrupt

    def _handle(self, handler: signal._HANDLER) -> None:
        for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, handler)
