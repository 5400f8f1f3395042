"""Samplers that learn nothing: every candidate in its order, and candidates by chance."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from modelpress.api import Candidate, Options, Outcome, SearchSpace
from modelpress_plugins.samplers.tried import Tried

_DRAWS = 200
"""Draws that were tried already, after which the candidates that are left are listed."""


class Listed:
    """Gives candidates one after the other, without those that were tried."""

    def __init__(self, candidates: Iterator[Candidate], tried: Tried) -> None:
        self._candidates = candidates
        self._tried = tried

    def ask(self) -> Candidate | None:
        for candidate in self._candidates:
            if candidate not in self._tried:
                self._tried.add(candidate)
                return candidate
        return None

    def tell(self, candidate: Candidate, outcome: Outcome | None) -> None:
        """Nothing follows from it."""


def sequential(options: Options, search: SearchSpace) -> Listed:
    """The space has an end: its spec says that it needs one."""
    return Listed(search.every(), _tried(search))


def by_chance(options: Options, search: SearchSpace) -> Listed:
    tried = _tried(search)
    return Listed(_drawn(search, tried), tried)


def _tried(search: SearchSpace) -> Tried:
    tried = Tried(search.axes)
    for candidate in (*(candidate for candidate, _ in search.tried), *search.pending):
        tried.add(candidate)
    return tried


def _drawn(search: SearchSpace, tried: Tried) -> Iterator[Candidate]:
    """The n-th candidate follows from the seed and n alone, so that a search that was killed goes on with
    the one that would have come next."""
    while True:
        random = Random(f"{search.seed} {len(tried)}")
        for _ in range(_DRAWS):
            candidate = search.draw(random)
            if candidate not in tried:
                break
        else:
            left = tried.left()
            if not left:
                return
            candidate = random.choice(left)
        yield candidate
