"""The local system."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from modelpress.api import Event, WarmWorker, import_path, installed_versions
from modelpress_plugins.local.config import LocalOptions


class LocalSystem:
    """Runs jobs in a warm worker of this Python."""

    ships_code = False

    def __init__(self, name: str, hf_token: bool) -> None:
        self.name = name
        self._worker = WarmWorker([sys.executable], worker_environment(hf_token))

    def libraries(self, names: Sequence[str]) -> Mapping[str, str]:
        """Versions of those distributions that are installed here."""
        return installed_versions(names)

    def run(self, folder: Path, on_event: Callable[[Event], None]) -> None:
        self._worker.run(folder, on_event)

    def close(self) -> None:
        self._worker.close()


def open_local(options: LocalOptions, name: str) -> LocalSystem:
    """The local system, its worker not started yet."""
    return LocalSystem(name, options.hf_token)


def worker_environment(hf_token: bool) -> dict[str, str]:
    """This process's environment with the import path that it has now, and quiet libraries."""
    environment = dict(os.environ)
    environment["PYTHONPATH"] = import_path()
    # OpenMP threads that wait by spinning cost little alone and ruin each other on a busy machine: 100 steps
    # of LoRA on 2 shared cores took 194 s with the library's default, 25 s with threads that sleep.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    environment.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not hf_token:
        environment["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1"
    return environment
