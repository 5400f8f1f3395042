"""Every error that modelpress raises on purpose, and the exit code that each one means.

ModelpressError
├── UserError                 2  what the user wrote or pointed at is wrong
│   ├── WorkflowError         2  one or more problems in a workflow, all told at once
│   └── DiskFull              2  the machine has no room for what is made
├── MissingDependencyError    3  a library or an extra is not installed where it is needed
├── PassError                 4  a pass (or metric) ran and failed
│   ├── PluginError           4  a plugin's code raised what it should not, or answered what it should not
│   │                            (5 where the plugin is a system)
│   ├── GoalsMissed           4  it did, and a goal that the workflow requires is missed
│   └── WorkerDied            4  its process ended without an answer: killed, out of memory, crashed
├── HostError                 5  the system that should have run the work failed
└── Interrupted             130  Ctrl-C or SIGTERM

A message says what was found and what was expected; the hint says what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

# NamedTuples: a frozen dataclass takes ten times as long to make, and every command waits for this module.


class Location(NamedTuple):
    """A place in a file that a user wrote. line and column count from 1; 0 means not known."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Problem(NamedTuple):
    """One thing wrong with a workflow, found before any work."""

    message: str
    hint: str = ""
    where: Location | None = None
    step: str = ""
    """The name of the pass, data config, system … concerned; empty for the workflow as a whole."""
    kind: str = "input"
    """`input` (exit 2), `dependency` (exit 3) or `plugin` (exit 4)."""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        step = f"{self.step}: " if self.step else ""
        return f"{place}{step}{self.message}" + (f" {self.hint}" if self.hint else "")


class ModelpressError(Exception):
    """The root. Shown to users as `error: message` and `hint: hint`, never as a traceback."""

    exit_code: int = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UserError(ModelpressError):
    """The user's input is wrong: a path, a value, a data set, a model that cannot be used."""

    exit_code = 2


class WorkflowError(UserError):
    """A workflow has problems. All that could be found are in `problems`."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: Sequence[Problem] = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))
        kinds = {problem.kind for problem in self.problems}
        if len(kinds) == 1:
            self.exit_code = {"dependency": 3, "plugin": 4}.get(kinds.pop(), 2)


class DiskFull(UserError):
    """A disk, or a quota of this user, has no room left for what a step writes."""


class MissingDependencyError(ModelpressError):
    """A library is absent, or too old, where the work would run."""

    exit_code = 3


class PassError(ModelpressError):
    """A pass ran and could not give what it promises."""

    exit_code = 4


class PluginError(PassError):
    """The code of a plugin broke its contract. Names plugin, distribution, version and function."""


class GoalsMissed(PassError):
    """The model is made and measured, and is not what the workflow requires it to be."""


class Pruned(PassError):
    """The work was ended because what it makes cannot be chosen: a search has no further use for it."""


class WorkerDied(PassError):
    """The worker process ended without a result: killed, out of memory, or crashed in native code."""


class HostError(ModelpressError):
    """The system could not run the job at all: not reachable, refused, broken environment."""

    exit_code = 5


class ArtifactGone(HostError):
    """What a system was to keep is there no more: somebody has removed it. It can be made anew."""


class Interrupted(ModelpressError):
    """Stopped by the user. What was finished is in the cache; a re-run goes on from there."""

    exit_code = 130


_BY_NAME: dict[str, type[ModelpressError]] = {
    cls.__name__: cls
    for cls in (
        UserError,
        DiskFull,
        MissingDependencyError,
        PassError,
        PluginError,
        WorkerDied,
        HostError,
        Interrupted,
    )
}


def text_of(error: BaseException) -> str:
    """What an exception says of itself; empty where it fails even at that."""
    try:
        return str(error).strip()
    except Exception:  # noqa: BLE001 - an exception of a plugin may raise whatever it likes
        return ""


def recorded_name(error: ModelpressError) -> str:
    """What a record calls the error: a plugin may have derived a class of its own from one of these."""
    return next((cls.__name__ for cls in type(error).__mro__ if cls.__name__ in _BY_NAME), "PassError")


def error_from_record(type_name: str, message: str, hint: str = "") -> ModelpressError:
    """Rebuild an error that a worker wrote down, so that a remote error reads like a local one.

    An unknown type_name (a library's own exception) becomes a PassError that names it.
    """
    known = _BY_NAME.get(type_name)
    return known(message, hint) if known else PassError(f"{type_name}: {message}", hint)
