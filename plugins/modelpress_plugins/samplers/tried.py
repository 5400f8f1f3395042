"""Which candidates were tried, so that none is tried twice."""

from __future__ import annotations

import json
from collections.abc import Sequence

from modelpress.api import Axis, Candidate, SearchSpace

COUNTED = 20_000
"""So many candidates are looked at one by one to find those that are left; of more there are always some."""


class Tried:
    """The candidates that were asked for or told."""

    def __init__(self, axes: Sequence[Axis]) -> None:
        self._space = SearchSpace(tuple(axes), {})
        self._texts: set[str] = set()

    def __contains__(self, candidate: Candidate) -> bool:
        return text_of(candidate) in self._texts

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, candidate: Candidate) -> None:
        self._texts.add(text_of(candidate))

    def remove(self, candidate: Candidate) -> None:
        self._texts.discard(text_of(candidate))

    def left(self) -> list[Candidate]:
        """Those of a finite space that were not tried, of the first COUNTED; empty when all were."""
        if not self._space.is_finite:
            return []
        found: list[Candidate] = []
        for number, candidate in enumerate(self._space.every()):
            if candidate not in self:
                found.append(candidate)
            if number >= COUNTED and found:
                break
        return found


def text_of(candidate: Candidate) -> str:
    return json.dumps(dict(candidate), sort_keys=True)
