"""The sampler: every combination once."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from random import Random

from modelpress.api import SearchSpace

from .options import ChoicesOptions


class EveryChoice:
    """Learns nothing from what it is told."""

    def __init__(self, search: SearchSpace, most: int | None) -> None:
        names = sorted(search.axes)
        found = [dict(zip(names, values, strict=True)) for values in product(*map(search.axes.get, names))]
        Random(search.seed).shuffle(found)
        self._left = iter(found[:most])

    def ask(self) -> Mapping[str, object] | None:
        return next(self._left, None)

    def tell(self, candidate: Mapping[str, object], result: Mapping[str, float] | None) -> None:
        """Nothing follows from it."""


def open_choices(options: ChoicesOptions, search: SearchSpace) -> EveryChoice:
    return EveryChoice(search, options.max_samples)
