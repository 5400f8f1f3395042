"""What a search is: the same one goes on where it was, another begins anew."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import islice

from modelpress.config.workflow import Search
from modelpress.engine.search.objectives import Objectives
from modelpress.engine.search.record import AxisRecord
from modelpress.search import Axis, SearchSpace

COUNTED = 100_000
"""So many candidates are counted; of more it is only known that there are more."""


def search_id(keys: Sequence[str], search: Search, objectives: Objectives) -> str:
    """What a search is: what is open, how it is decided, and the keys of what every value leads to. How long
    it may go on is no part of it."""
    strategy = search.strategy
    record = {
        "axes": repr(search.open.axes),
        "objectives": repr(objectives),
        "keys": keys,
        "sampler": [strategy.sampler.spec.name, strategy.sampler.identity, strategy.options.canonical()]
        if strategy
        else [],
        "order": [strategy.execution_order, strategy.seed, strategy.prune, strategy.halving]
        if strategy
        else [],
    }
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:32]


def count(axes: Sequence[Axis]) -> int | None:
    """How many candidates there are; None where there are too many to count, or no end of them."""
    space = SearchSpace(tuple(axes), {})
    if not space.is_finite:
        return None
    found = sum(1 for _ in islice(space.every(), COUNTED + 1))
    return found if found <= COUNTED else None


def axis_record(axis: Axis) -> AxisRecord:
    interval = axis.interval
    return AxisRecord(
        name=axis.name,
        values=axis.values,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        log=bool(interval and interval.log),
        when=axis.when,
    )
