"""The system: a new process for every job, so that nothing of one reaches the next."""

from __future__ import annotations

import os
import sys

from modelpress.api import WarmWorker, WorkerSystem, import_path

from .options import FreshOptions


class FreshProcess(WorkerSystem):
    """Jobs find modelpress and the plugins where this process finds them."""

    def __init__(self, name: str, threads: int) -> None:
        environment = {**os.environ, "PYTHONPATH": import_path(), "OMP_NUM_THREADS": str(threads)}
        super().__init__(name, lambda: WarmWorker([sys.executable], environment), keep=False)


def open_fresh(options: FreshOptions, name: str) -> FreshProcess:
    return FreshProcess(name, options.threads)
