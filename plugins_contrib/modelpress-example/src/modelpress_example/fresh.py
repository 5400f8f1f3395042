"""The system: a new process for every job, so that nothing of one reaches the next."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from modelpress.api import Accelerator, Event, WarmWorker, import_path, installed_versions

from .options import FreshOptions


class FreshProcess:
    """Jobs find modelpress and the plugins where this process finds them."""

    ships_code = False

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        self._environment = {
            **os.environ,
            "PYTHONPATH": import_path(),
            "OMP_NUM_THREADS": str(threads),
        }

    def libraries(self, names: Sequence[str]) -> Mapping[str, str]:
        return installed_versions(names)

    def has(self, accelerator: Accelerator) -> bool:
        return accelerator == Accelerator()  # the CPU, and no more

    def run(self, folder: Path, on_event: Callable[[Event], None]) -> None:
        worker = WarmWorker([sys.executable], self._environment)
        try:
            worker.run(folder, on_event)
        finally:
            worker.close()

    def close(self) -> None:
        """Nothing is left running."""


def open_fresh(options: FreshOptions, name: str) -> FreshProcess:
    return FreshProcess(name, options.threads)
