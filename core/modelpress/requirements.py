"""What has to be installed where work runs: requirements (PEP 508) of specs, compared with what is there.

`torch>=2.9` names a distribution and the versions that will do. Where one of several wheels will do, they
stand with bars between: `onnxruntime>=1.24 | onnxruntime-gpu>=1.24`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

WORKER_REQUIRES = (
    "filelock>=3.16",
    "platformdirs>=4.3",
    "pluggy>=1.6",
    "psutil>=6.0",
    "pydantic>=2.11",
    "xxhash>=3.5",
)
"""What the worker itself needs; modelpress is brought along where it is not installed."""


@dataclass(frozen=True, slots=True)
class Lack:
    """A requirement that is not met. found: `torch 2.4.0` of each wheel that is there but will not do."""

    requirement: str
    found: tuple[str, ...] = ()

    def __str__(self) -> str:
        there = f"{' and '.join(self.found)} is there" if self.found else "not installed"
        return f"{self.requirement} ({there})"


def parse_requirement(text: str) -> tuple[Requirement, ...]:
    """The wheels of which one will do. Raises ValueError, which says what is wrong, for anything else."""
    try:
        return tuple(Requirement(part.strip()) for part in text.split("|"))
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{text!r} is no requirement like 'torch>=2.9': {reason}") from None


def required_names(requires: Iterable[str]) -> list[str]:
    """The distributions that are named, each once, sorted."""
    return sorted({choice.name for text in requires for choice in parse_requirement(text)})


def lacks(requires: Iterable[str], installed: Mapping[str, str]) -> Sequence[Lack]:
    """Which of them are not met by what is installed (name -> version), in their order."""
    versions: dict[str, str] = {canonicalize_name(name): version for name, version in installed.items()}
    found = (_lack(text, versions) for text in requires)
    return [lack for lack in found if lack]


def _lack(text: str, versions: Mapping[str, str]) -> Lack | None:
    there = []
    for choice in parse_requirement(text):
        if choice.marker and not choice.marker.evaluate():
            return None
        version = versions.get(canonicalize_name(choice.name))
        if version is None:
            continue
        if _fits(choice, version):
            return None
        there.append(f"{choice.name} {version}")
    return Lack(text, tuple(there))


def _fits(requirement: Requirement, version: str) -> bool:
    try:
        return requirement.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True  # a build of somebody's own: nothing can be said against it
