"""What has to be installed where work runs: requirements (PEP 508) of specs, compared with what is there.

`torch>=2.9` names a distribution and the versions that will do. Where one of several wheels will do, they
stand with bars between: `onnxruntime>=1.24 | onnxruntime-gpu>=1.24`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

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

    def told(self) -> str:
        """In a list of what is missing: of several wheels the first, and what is there if that is too old."""
        wanted = self.requirement.partition("|")[0].strip()
        return f"{wanted} ({' and '.join(self.found)} is there)" if self.found else wanted


@cache
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


def families(requires: Iterable[str]) -> list[frozenset[str]]:
    """Distributions that stand for each other, of which a Python can have one."""
    found = {frozenset(choice.name for choice in parse_requirement(text)) for text in requires}
    return sorted((family for family in found if len(family) > 1), key=sorted)


def by_extra(distribution: str, requirements: Iterable[str]) -> dict[str, list[str]]:
    """What each extra of a distribution adds, without markers; `distribution[other]` is replaced by what that
    extra adds. requirements: as its metadata have them. One that is no requirement is left out."""
    added: dict[str, list[Requirement]] = {}
    for text in requirements:
        with suppress(InvalidRequirement):
            requirement = Requirement(text)
            for extra in _extras_of(requirement):
                added.setdefault(extra, []).append(requirement)
    return {extra: _flat(extra, added, canonicalize_name(distribution)) for extra in added}


def _extras_of(requirement: Requirement) -> list[str]:
    """The extras that bring the requirement here, on this platform."""
    marker = requirement.marker
    if marker is None or marker.evaluate({"extra": ""}):
        return []
    named = re.findall(r"""extra\s*==\s*['"]([^'"]+)['"]""", str(marker))
    return [extra for extra in dict.fromkeys(named) if marker.evaluate({"extra": extra})]


def _flat(
    extra: str, added: Mapping[str, Sequence[Requirement]], own: str, above: tuple[str, ...] = ()
) -> list[str]:
    """above: extras that take this one in"""
    found: list[str] = []
    for requirement in added.get(extra, ()):
        if canonicalize_name(requirement.name) != own:
            found.append(f"{requirement.name}{requirement.specifier}")
            continue
        for other in sorted(requirement.extras - {extra, *above}):
            found += _flat(other, added, own, (*above, extra))
    return list(dict.fromkeys(found))


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
