"""Which nodes of a graph are quantized: by operator and by name. Light."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """operators: types of nodes. excluded, included: names, or patterns with `*` and `?`; nothing included
    means all. What is excluded counts for more."""

    operators: frozenset[str]
    excluded: tuple[str, ...] = ()
    included: tuple[str, ...] = ()

    def takes(self, operator: str, name: str) -> bool:
        if operator not in self.operators or named(name, self.excluded):
            return False
        return not self.included or named(name, self.included)


def named(name: str, patterns: Collection[str]) -> bool:
    """Whether a name is among those given. Only `*` and `?` are wildcards: names may hold brackets."""
    return name in patterns or any(
        fnmatch.fnmatchcase(name, pattern.replace("[", "[[]")) for pattern in patterns if is_pattern(pattern)
    )


def is_pattern(text: str) -> bool:
    return "*" in text or "?" in text


def unmatched(patterns: Iterable[str], names: Collection[str]) -> list[str]:
    """Those that name no node: misspelt, most likely."""
    return [pattern for pattern in patterns if not any(named(name, (pattern,)) for name in names)]
