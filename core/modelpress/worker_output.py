"""Where the output of a job goes: into its log.txt, of which no more is kept than a disk can bear, and no
secret: it is overwritten at once, since a job may be killed before it can tidy up."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import ExitStack, closing, suppress
from pathlib import Path

from modelpress.events import EventFile, Log
from modelpress.fence import aside
from modelpress.secrets import hide

MOST_PRINTED = 10**9
"""Characters that the Python code of a job may print. Who prints more does so without end, and is stopped."""
MOST_KEPT = 2**26
"""Bytes of a log.txt above which its middle goes. What is kept: the first quarter, and the last eighth."""
_LOOK_SECONDS = 0.1


class output_to:
    """Send file descriptors 1 and 2 to the log.txt of a job's folder for a while: native libraries print
    there too."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "log.txt"
        self._events = folder / "events.jsonl"
        self._told = False
        self._seen = 0
        self._end = threading.Event()
        self._watch = threading.Thread(target=self._keep_short, daemon=True)
        self._aside = ExitStack()

    def __enter__(self) -> None:
        self._saved = (os.dup(1), os.dup(2))
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.close(file)
        self._aside.enter_context(aside(MOST_PRINTED))
        self._watch.start()

    def __exit__(self, *_: object) -> None:
        self._aside.close()
        sys.stdout.flush()
        sys.stderr.flush()
        for target, saved in zip((1, 2), self._saved, strict=True):
            os.dup2(saved, target)
            os.close(saved)
        self._end.set()
        self._watch.join()

    def _keep_short(self) -> None:
        ended = False
        while not ended:
            ended = self._end.wait(_LOOK_SECONDS)
            with suppress(OSError):  # a disk that is full, a folder that has gone: not told here
                self._seen = hide(self._path, self._seen)
                self._shorten()

    def _shorten(self) -> None:
        size = self._path.stat().st_size
        if size <= MOST_KEPT:
            return
        # Not a pipe that is read here: what a library prints right before it crashes would be lost in it.
        with self._path.open("rb") as file:
            file.seek(size - MOST_KEPT // 8)
            end = file.read(MOST_KEPT // 8)
        os.truncate(self._path, MOST_KEPT // 4)
        self._seen = MOST_KEPT // 4
        with self._path.open("ab") as file:
            file.write(b"\n[modelpress: more was printed here than is kept]\n" + end)
        if not self._told:
            self._told = True
            kept = f"{MOST_KEPT / 2**20:.0f} MiB"
            with closing(EventFile(self._events)) as events:
                events(Log("warning", f"It printed more than {kept}: log.txt keeps its begin and its end."))
