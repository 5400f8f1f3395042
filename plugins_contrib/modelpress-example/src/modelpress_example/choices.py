"""The sampler: every combination once."""

from __future__ import annotations

from random import Random

from modelpress.api import Candidate, Outcome, SearchSpace

from .options import ChoicesOptions


class EveryChoice:
    """Learns nothing from what it is told."""

    def __init__(self, search: SearchSpace, most: int | None) -> None:
        found = list(search.every())
        Random(search.seed).shuffle(found)
        done = [*(tried.candidate for tried in search.tried), *search.pending]
        self._left = iter([candidate for candidate in found[:most] if candidate not in done])

    def ask(self) -> Candidate | None:
        return next(self._left, None)

    def tell(self, candidate: Candidate, outcome: Outcome | None) -> None:
        """Nothing follows from it."""


def open_choices(options: ChoicesOptions, search: SearchSpace) -> EveryChoice:
    return EveryChoice(search, options.most)
