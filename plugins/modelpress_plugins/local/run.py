"""The local system."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from modelpress.api import Accelerator, Event, WarmWorker, import_path, installed_versions
from modelpress_plugins.local.config import LocalOptions
from modelpress_plugins.systems.accelerators import has
from modelpress_plugins.systems.environment import local_environment


class LocalSystem:
    """Runs jobs in a warm worker of this Python."""

    ships_code = False

    def __init__(self, name: str, environment: Mapping[str, str]) -> None:
        self.name = name
        self._worker = WarmWorker([sys.executable], environment)

    def libraries(self, names: Sequence[str]) -> Mapping[str, str]:
        """Versions of those distributions that are installed here."""
        return installed_versions(names)

    def has(self, accelerator: Accelerator) -> bool:
        return has(accelerator, self.libraries)

    def run(self, folder: Path, on_event: Callable[[Event], None]) -> None:
        self._worker.run(folder, on_event)

    def close(self) -> None:
        self._worker.close()


def open_local(options: LocalOptions, name: str) -> LocalSystem:
    """The local system, its worker not started yet."""
    environment = local_environment(options.environment_variables, hf_token=options.hf_token)
    return LocalSystem(name, {**environment, "PYTHONPATH": import_path()})
