"""What a spec says that it imports, beside what its code really imports."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from modelpress.provider import installed_versions
from modelpress.registry import Registered, Registry
from modelpress.requirements import lacks, required_names
from modelpress.specs import FormatSpec, Spec


def missing(requirements: Iterable[str]) -> list[str]:
    """What this Python lacks of the requirements, a text for people each."""
    wanted = list(requirements)
    return [str(lack) for lack in lacks(wanted, installed_versions(required_names(wanted)))]


def declared(registered: Registered[Spec], opened: Iterable[str], registry: Registry) -> list[str]:
    """What the spec requires, and what the formats do that its code opened: that is theirs to say."""
    formats = (registry.get(FormatSpec, name) for name in opened)
    return [*registered.spec.requires, *(text for entry in formats if entry for text in entry.spec.requires)]


def undeclared(modules: Iterable[str], named: Iterable[str], own: str) -> list[str]:
    """Those top-level modules whose distribution is not named, `module (distribution)` each.

    Named, or brought along by what is named: a distribution that those need, own and modelpress, with
    what modelpress needs. A module of no distribution is the plugin's own.
    """
    allowed: set[str] = {canonicalize_name(own)}
    for name in ("modelpress", *required_names(named)):
        allowed |= _closure(name)
    homes = packages_distributions()
    found = []
    for module in sorted(set(modules) - set(sys.stdlib_module_names)):
        names = homes.get(module, [])
        if names and not any(canonicalize_name(name) in allowed for name in names):
            found.append(f"{module} ({', '.join(sorted(set(names)))})")
    return found


@cache
def _closure(distribution: str) -> frozenset[str]:
    """The distribution and all that it needs, extras left out."""
    found: set[str] = set()
    waiting: list[str] = [distribution]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        found.add(name)
        try:
            lines = requires(name) or []
        except PackageNotFoundError:
            continue
        waiting += [needed.name for line in lines if _always(needed := Requirement(line))]
    return frozenset(found)


def _always(requirement: Requirement) -> bool:
    """Whether it is needed without any extra."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})
