"""A job's checkpoint brought back while the job runs: the place may be lost, and hours of work with it."""

from __future__ import annotations

import os
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from modelpress.errors import HostError
from modelpress.system import Handle, System

_LEAST_SECONDS = 60.0
_SHARE = 10
"""How many times longer it waits than the last fetching took: a large checkpoint is fetched less often."""


class CheckpointsBack:
    """Fetches the checkpoint now and then inside a `with` block, where the system shares no files. What is
    here is replaced as a whole: a run that is killed meanwhile leaves the older one or the newer one."""

    def __init__(self, system: System, handle: Handle, folder: Path) -> None:
        self._system, self._handle, self._folder = system, handle, folder
        self._least = float(os.environ.get("MODELPRESS_CHECKPOINT_SECONDS", _LEAST_SECONDS))
        self._over = threading.Event()
        self._swap = threading.Lock()

    def __enter__(self) -> Self:
        if not self._system.traits.shares_files:
            threading.Thread(target=self._fetch_now_and_then, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with (
            self._swap
        ):  # what is fetched from now on comes too late: the last one is fetched by whoever ends it
            self._over.set()

    def _fetch_now_and_then(self) -> None:
        wait = self._least
        while not self._over.wait(wait):
            began = time.monotonic()
            with suppress(HostError, OSError):  # whoever watches the job tells that the place is away
                self._fetch()
            wait = max(self._least, _SHARE * (time.monotonic() - began))

    def _fetch(self) -> None:
        there = self._folder / "fetched"
        shutil.rmtree(there, ignore_errors=True)
        there.mkdir()
        self._system.collect(self._handle, ("checkpoint",), there)
        here, new, old = self._folder / "checkpoint", there / "checkpoint", there / "old"
        with self._swap:
            if new.is_dir() and any(new.iterdir()) and not self._over.is_set():
                if here.exists():
                    here.rename(old)
                new.rename(here)
        shutil.rmtree(there, ignore_errors=True)
