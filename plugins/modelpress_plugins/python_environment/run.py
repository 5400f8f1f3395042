"""The system PythonEnvironment: the same warm worker, started with another Python."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

from modelpress.api import (
    Accelerator,
    Environment,
    Handle,
    HostError,
    Tell,
    Traits,
    WarmWorker,
    WorkerSystem,
    refusal,
    required_names,
    suffixes_of,
)
from modelpress_plugins.python_environment.config import PythonEnvironmentOptions
from modelpress_plugins.python_environment.managed import Made, Recipe, find_made, make
from modelpress_plugins.systems.accelerators import has
from modelpress_plugins.systems.environment import local_environment


class PythonEnvironment(WorkerSystem):
    """Runs jobs in a warm worker of another Python on this machine.

    The code of modelpress and of each pass is copied to a folder that comes before all that is installed
    there, so that what runs is what the plan was made with, whatever is installed in the environment.
    """

    def __init__(self, name: str, python: Path | None, options: PythonEnvironmentOptions) -> None:
        self._code = Path(tempfile.mkdtemp(prefix="modelpress-code-"))
        self._options = options
        self.python = python
        super().__init__(name, self._worker, Traits(ships_code=True))

    def environment(self, requires: Sequence[str]) -> Environment:
        return self._worker().environment(required_names(requires))

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

    def _worker(self) -> WarmWorker:
        if self.python is None:
            raise HostError(f"The environment of {self.name!r} is not made yet.")
        return WarmWorker([str(self.python)], _environment(self._options, self.python), self._code)


class ManagedEnvironment(PythonEnvironment):
    """The same, in an environment that is made from what the work requires."""

    def __init__(self, name: str, options: PythonEnvironmentOptions) -> None:
        super().__init__(name, None, options)
        files = (Path(options.requirements_file),) if options.requirements_file else ()
        self._recipe = Recipe(
            python=options.python or "",
            requires=tuple(options.requirements),
            files=files,
            index=options.index_url or "",
            wheels=Path(options.wheels) if options.wheels else None,
            offline=options.no_index,
        )
        self._requires: Sequence[str] = ()

    def environment(self, requires: Sequence[str]) -> Environment:
        self._requires = requires
        made = self._find(requires)
        if made is None:
            return Environment(digest=self._recipe.digest(requires))
        self.python = made.executable
        found = _only(made.libraries, required_names(requires))
        return Environment(libraries=found, python=made.python, suffixes=suffixes_of(made.python))

    def libraries(self, names: Sequence[str]) -> Mapping[str, str]:
        made = self._find(self._requires)
        return _only(made.libraries if made else dict.fromkeys(required_names(self._requires), ""), names)

    def prepare(self, requires: Sequence[str], tell: Tell) -> None:
        self.python = make(self._recipe, requires, tell).executable

    def _find(self, requires: Sequence[str]) -> Made | None:
        try:
            return find_made(self._recipe, requires)
        except (OSError, ValueError) as error:
            raise HostError(
                *refusal(f"The environment of {self.name!r} cannot be described", error)
            ) from None


def open_environment(options: PythonEnvironmentOptions, name: str) -> PythonEnvironment:
    """The environment, nothing started yet. Raises HostError when there is no Python in it."""
    if options.python_environment_path is None:
        return ManagedEnvironment(name, options)
    return PythonEnvironment(name, find_python(Path(options.python_environment_path)), options)


def _only(libraries: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    wanted = {canonicalize_name(name): name for name in names}
    return {
        wanted[key]: version
        for name, version in libraries.items()
        if (key := canonicalize_name(name)) in wanted
    }


def _environment(options: PythonEnvironmentOptions, python: Path) -> dict[str, str]:
    """Of its worker."""
    environment = local_environment(options.environment_variables, hf_token=options.hf_token)
    for variable in ("PYTHONHOME", "PYTHONPATH"):  # of this Python, not of that one
        environment.pop(variable, None)
    path = [*options.prepend_to_path, str(python.parent), environment.get("PATH", "")]
    environment["PATH"] = os.pathsep.join(path)
    environment["VIRTUAL_ENV"] = str(python.parent.parent)
    return environment


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
