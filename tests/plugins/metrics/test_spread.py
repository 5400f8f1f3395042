"""Intervals hold what a repetition gives."""

from __future__ import annotations

import math

import numpy as np
import pytest

from modelpress.api import Estimate
from modelpress_plugins.metrics.spread import mean, ratio, resampled, share, through


@pytest.mark.parametrize(("right", "total"), [(0, 10), (10, 10), (1, 1), (5, 10), (960, 1000)])
def test_a_share_and_its_interval_lie_between_none_and_all(right: int, total: int) -> None:
    found = share(right, total)
    assert 0 <= found.low <= found.value == right / total <= found.high <= 1
    assert found.low < found.high


def test_wilsons_interval_is_that_of_the_books() -> None:
    found = share(8, 10)  # (0.4902, 0.9433), R. G. Newcombe 1998
    assert (round(found.low, 4), round(found.high, 4)) == (0.4902, 0.9433)


def test_intervals_hold_in_nineteen_of_twenty_repetitions() -> None:
    draw = np.random.default_rng(1)
    truth, held = 0.3, 0
    for _ in range(300):
        found = mean(draw.exponential(truth, 60).tolist())
        held += found.low <= truth <= found.high
    assert held / 300 > 0.88  # resampling is a little narrow for few values of a skewed kind


def test_more_values_are_surer() -> None:
    draw = np.random.default_rng(2)
    few, many = (mean(draw.normal(5, 1, count).tolist()) for count in (20, 2000))
    assert many.high - many.low < (few.high - few.low) / 5


def test_a_ratio_weighs_each_row_by_its_count() -> None:
    assert ratio([3.0, 1.0], [3, 1]).value == 1
    assert ratio([9.0, 0.0], [3, 1]).value == 9 / 4


def test_one_value_says_nothing_of_its_spread_but_is_one() -> None:
    assert mean([2.5]) == Estimate(2.5, 2.5, 2.5)


def test_the_same_values_give_the_same_interval() -> None:
    values = np.arange(50.0)
    assert resampled(values, lambda rows: np.median(rows, axis=-1)) == resampled(
        values, lambda rows: np.median(rows, axis=-1)
    )


def test_a_rising_function_takes_the_interval_along() -> None:
    found = through(math.exp, Estimate(1, 0, 2))
    assert (found.low, found.value, found.high) == (1, math.e, math.exp(2))


def test_a_number_outside_its_interval_is_none() -> None:
    with pytest.raises(ValueError, match="does not lie between"):
        Estimate(3, 1, 2)
