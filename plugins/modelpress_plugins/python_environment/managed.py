"""Environments that are made from what jobs require: by uv where it is there, else by venv and pip.

Each lies in a folder of the user's cache that is named for what it was made from, so that all runs share it;
a lock lets one process make it while others wait. Its record is written last, with what was installed: one
that is cut or changed is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from filelock import FileLock

from modelpress.api import (
    HostError,
    Log,
    Tell,
    default_cache_folder,
    lacks,
    parse_requirement,
    refusal,
    write_whole,
)

_RECORD = "made.json"
_LINES = 8
"""Of what an installer says last, when it fails."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How environments of one system are made.

    python:     a version (`3.12`) or an executable; empty for this Python
    requires:   what the user wants beside what jobs require; files: requirements files
    index:      the address of a package index, empty for the installer's own; wheels: a folder of wheels
    offline:    whether only the folder of wheels is looked into
    """

    python: str = ""
    requires: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    index: str = ""
    wheels: Path | None = None
    offline: bool = False

    def wanted(self, requires: Sequence[str]) -> list[str]:
        """All requirements, each once. Where one of several wheels will do, the first is taken."""
        first = (parse_requirement(text)[0] for text in (*requires, *self.requires))
        return sorted({str(requirement) for requirement in first})

    def digest(self, requires: Sequence[str]) -> str:
        """Of all that decides what is installed, as far as it is known before; 32 hex digits."""
        parts = {
            "python": self.python or f"{sys.executable} {platform.python_version()}",
            "platform": platform.platform(),
            "requires": self.wanted(requires),
            "files": [path.read_text(encoding="utf-8") for path in self.files],
            "index": self.index,
            "wheels": sorted((path.name, path.stat().st_size) for path in _wheels(self.wheels)),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Made:
    """An environment that is there. libraries: name -> version, of all that was installed."""

    folder: Path
    python: str
    libraries: Mapping[str, str]

    @property
    def executable(self) -> Path:
        return _executable(self.folder)


def find_made(recipe: Recipe, requires: Sequence[str]) -> Made | None:
    """The environment, if it was made before and is as it was."""
    folder = _folder(recipe, requires)
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        if record["listing"] == _listing(folder) and _executable(folder).is_file():
            return Made(folder, str(record["python"]), dict(record["libraries"]))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def make(recipe: Recipe, requires: Sequence[str], tell: Tell) -> Made:
    """The environment, made unless it is there. Raises HostError with what the installer says."""
    folder = _folder(recipe, requires)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if made := find_made(recipe, requires):
            return made
        shutil.rmtree(folder, ignore_errors=True)
        wanted = recipe.wanted(requires)
        how = "uv" if find_uv() else "pip"
        tell(Log("note", f"Making an environment with {how}: {', '.join(wanted)}."))
        try:
            _install(recipe, wanted, folder)
            made = _look(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if lacking := lacks(requires, made.libraries):
            shutil.rmtree(folder, ignore_errors=True)
            told = ", ".join(lack.told() for lack in lacking)
            raise HostError(f"The environment was made, and lacks {told}.", "Look at what the index has.")
        record = {"python": made.python, "libraries": dict(made.libraries), "listing": _listing(folder)}
        write_whole(folder / _RECORD, json.dumps(record, indent=1).encode())
        return made


def find_uv() -> str | None:
    """The uv of this machine, or that beside this Python."""
    beside = Path(sys.executable).with_name("uv.exe" if os.name == "nt" else "uv")
    return shutil.which("uv") or (str(beside) if beside.is_file() else None)


def _folder(recipe: Recipe, requires: Sequence[str]) -> Path:
    return default_cache_folder() / "environments" / recipe.digest(requires)


def _install(recipe: Recipe, wanted: Sequence[str], folder: Path) -> None:
    uv, python = find_uv(), recipe.python or sys.executable
    sources = [*(["--index-url", recipe.index] if recipe.index else [])]
    sources += [*(["--find-links", str(recipe.wheels)] if recipe.wheels else [])]
    sources += [*(["--no-index"] if recipe.offline else [])]
    what = [*sources, *(part for path in recipe.files for part in ("-r", str(path))), *wanted]
    if uv:
        _call([uv, "venv", "--quiet", "--python", python, str(folder)])
        _call([uv, "pip", "install", "--quiet", "--python", str(_executable(folder)), *what])
        return
    # The pip of this Python serves another one as well, and making an environment without one is much faster.
    has_pip = find_spec("pip") is not None
    _call([_interpreter(python), "-m", "venv", *(["--without-pip"] if has_pip else []), str(folder)])
    there = str(_executable(folder))
    pip = [sys.executable, "-m", "pip", "--python", there] if has_pip else [there, "-m", "pip"]
    _call([*pip, "install", "--quiet", "--disable-pip-version-check", *what])


def _interpreter(python: str) -> str:
    """The executable of a version, as far as it can be found without uv. Raises HostError."""
    if not python[:1].isdigit():
        return python
    major_minor = ".".join(python.split(".")[:2])
    if major_minor == ".".join(map(str, sys.version_info[:2])):
        return sys.executable
    found = shutil.which(f"python{major_minor}")
    if found is None:
        raise HostError(
            f"There is no Python {python} on this machine.",
            "Install it, or uv (pip install uv), which finds and fetches Pythons; or leave `python` out.",
        )
    return found


def _call(command: Sequence[str]) -> None:
    """Run an installer in the shell's own environment, which may hold the index and its credentials, but not
    with this Python's import path: what lies there would be taken for installed."""
    own = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in own}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, check=False, stdin=subprocess.DEVNULL
        )
    except OSError as error:
        raise HostError(*refusal(f"{command[0]} cannot be started", error)) from error
    if done.returncode:
        said = (done.stderr + done.stdout).decode("utf-8", "replace").strip().splitlines()[-_LINES:]
        raise HostError(
            "The environment cannot be made:\n" + "\n".join(said),
            "Name an index (index_url) or a folder of wheels that has these versions for this platform.",
        )


def _look(folder: Path) -> Made:
    """What is installed there now."""
    code = (
        "import json, platform; from importlib.metadata import distributions;"
        "print(json.dumps([platform.python_version(), {d.name: d.version for d in distributions()}]))"
    )
    done = subprocess.run([str(_executable(folder)), "-I", "-c", code], capture_output=True, check=False)
    try:
        python, libraries = json.loads(done.stdout)
    except ValueError:
        told = done.stderr.decode("utf-8", "replace").strip()[-300:]
        raise HostError(f"The Python that was made does not run: {told}") from None
    return Made(folder, python, libraries)


def _listing(folder: Path) -> list[str]:
    """What is installed there by its metadata's folders: seen without starting that Python."""
    found = (
        *folder.glob("lib/python*/site-packages/*.dist-info"),
        *folder.glob("Lib/site-packages/*.dist-info"),
    )
    return sorted(path.name for path in found)


def _executable(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _wheels(folder: Path | None) -> list[Path]:
    return list(folder.glob("*.whl")) if folder else []
