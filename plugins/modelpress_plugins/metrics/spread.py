"""How sure a number is: intervals that hold in 19 of 20 repetitions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from modelpress.api import Estimate

_Z = 1.959964
"""Standard deviations to both sides that hold 95 % of a normal distribution."""
_RESAMPLES = 1000
Floats = NDArray[np.float64]


def share(right: int, total: int) -> Estimate:
    """The share of successes; Wilson's interval (E. B. Wilson 1927), which stays between 0 and 1."""
    value = right / total
    middle = (value + _Z**2 / (2 * total)) / (1 + _Z**2 / total)
    half = _Z / (1 + _Z**2 / total) * math.sqrt(value * (1 - value) / total + (_Z / (2 * total)) ** 2)
    return Estimate(value, max(0.0, min(value, middle - half)), min(1.0, max(value, middle + half)))


def mean(values: Sequence[float]) -> Estimate:
    """The mean of values that were drawn independently."""
    return resampled(np.asarray(values, dtype=np.float64), lambda rows: rows.mean(axis=-1))


def ratio(sums: Sequence[float], counts: Sequence[float]) -> Estimate:
    """sum of sums / sum of counts, each pair of them one row that was drawn. counts: above 0."""
    pairs = np.stack([np.asarray(sums, dtype=np.float64), np.asarray(counts, dtype=np.float64)], axis=-1)

    def of(rows: Floats) -> Floats:
        totals = rows.sum(axis=-2)
        return np.asarray(totals[..., 0] / totals[..., 1])

    return resampled(pairs, of)


def resampled(values: Floats, statistic: Callable[[Floats], Floats]) -> Estimate:
    """A statistic and its bootstrap interval (B. Efron 1979), the same for the same values.

    values: (n, …), each row drawn independently
    statistic: (…, n, …) -> (…), of the values along that axis
    """
    value = float(statistic(values))
    if len(values) < 2:
        return Estimate(value, value, value)
    draw = np.random.default_rng(0)
    at_once = max(1, min(_RESAMPLES, 4_000_000 // values.size))
    found: list[Floats] = []
    for start in range(0, _RESAMPLES, at_once):
        count = min(at_once, _RESAMPLES - start)
        found.append(statistic(values[draw.integers(0, len(values), (count, len(values)))]))
    low, high = np.percentile(np.concatenate(found), (2.5, 97.5))
    return Estimate(value, min(value, float(low)), max(value, float(high)))


def through(function: Callable[[float], float], estimate: Estimate) -> Estimate:
    """A rising function of the number."""
    return Estimate(function(estimate.value), function(estimate.low), function(estimate.high))
