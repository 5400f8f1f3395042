"""The local system."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from modelpress.api import (
    Accelerator,
    Traits,
    WarmWorker,
    WorkerSystem,
    import_path,
    installed_versions,
)
from modelpress_plugins.local.config import LocalOptions
from modelpress_plugins.systems.accelerators import has
from modelpress_plugins.systems.environment import local_environment


class LocalSystem(WorkerSystem):
    """Runs jobs in warm workers of this Python."""

    def __init__(self, name: str, environment: Mapping[str, str], max_jobs: int = 1) -> None:
        super().__init__(name, lambda: WarmWorker([sys.executable], environment), Traits(max_jobs=max_jobs))

    def libraries(self, names: Sequence[str]) -> Mapping[str, str]:
        """Versions of those distributions that are installed here."""
        return installed_versions(names)

    def has(self, accelerator: Accelerator) -> bool:
        return has(accelerator, self.libraries)


def open_local(options: LocalOptions, name: str) -> LocalSystem:
    """The local system, its workers not started yet."""
    environment = local_environment(options.environment_variables, hf_token=options.hf_token)
    return LocalSystem(name, {**environment, "PYTHONPATH": import_path()}, options.max_jobs)
