"""The system PythonEnvironment: the same warm worker, started with another Python."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from modelpress.api import Accelerator, Handle, HostError, Traits, WarmWorker, WorkerSystem
from modelpress_plugins.python_environment.config import PythonEnvironmentOptions
from modelpress_plugins.systems.accelerators import has
from modelpress_plugins.systems.environment import local_environment


class PythonEnvironment(WorkerSystem):
    """Runs jobs in a warm worker of another Python on this machine.

    The code of modelpress and of each pass is copied to a folder that comes before all that is installed
    there, so that what runs is what the plan was made with, whatever is installed in the environment.
    """

    def __init__(self, name: str, python: Path, environment: Mapping[str, str]) -> None:
        self._code = Path(tempfile.mkdtemp(prefix="modelpress-code-"))
        super().__init__(
            name, lambda: WarmWorker([str(python)], environment, self._code), Traits(ships_code=True)
        )

    def has(self, accelerator: Accelerator) -> bool:
        return has(accelerator, self.libraries)

    def submit(self, folder: Path) -> Handle:
        code = folder / "code"
        shutil.copytree(code, self._code, dirs_exist_ok=True)
        shutil.rmtree(code)  # one place for all jobs: the warm worker keeps importing from it
        return super().submit(folder)

    def close(self) -> None:
        super().close()
        shutil.rmtree(self._code, ignore_errors=True)


def open_environment(options: PythonEnvironmentOptions, name: str) -> PythonEnvironment:
    """The environment, nothing started yet. Raises HostError when there is no Python in it."""
    python = find_python(Path(options.python_environment_path))
    environment = local_environment(options.environment_variables, hf_token=options.hf_token)
    for variable in ("PYTHONHOME", "PYTHONPATH"):  # of this Python, not of that one
        environment.pop(variable, None)
    path = [*options.prepend_to_path, str(python.parent), environment.get("PATH", "")]
    environment["PATH"] = os.pathsep.join(path)
    environment["VIRTUAL_ENV"] = str(python.parent.parent)
    return PythonEnvironment(name, python, environment)


def find_python(path: Path) -> Path:
    """The Python executable of an environment's folder, its bin folder, or the executable itself."""
    names = ("bin/python", "Scripts/python.exe", "python", "python.exe", "python3")
    candidates = [path] if path.is_file() else [path / name for name in names]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise HostError(
        f"There is no Python in {path}.", "python_environment_path must name an environment that exists."
    )
