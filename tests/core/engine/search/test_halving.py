"""Trainings that are behind are ended early; the best go on."""

from __future__ import annotations

from typing import Any

import pytest

from modelpress.engine.history import Reported
from modelpress.engine.search.halving import Halving

LENGTH = {"type": "length", "sub_types": [{"name": "length", "priority": 1}]}


def train(*rates: float, **options: Any) -> dict[str, Any]:
    return {"train": {"type": "Train", "rate": {"choice": list(rates)}, **options}}


def steps(searched: Any, rate: float) -> int:
    return searched.count(f"step {rate} ")


def test_a_training_that_is_behind_ends_early(searched) -> None:
    passes = train(1.0, 3.0, 9.0, 2.0, seconds=0.15)
    searched.write(passes, LENGTH)
    done = searched.demo.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert (steps(searched, 1.0), steps(searched, 3.0)) == (9, 9), "the first two have nobody to be behind of"
    assert steps(searched, 9.0) < 9
    assert (
        "candidate 3: rate 9, pruned: Its loss after 1 of 9 steps is 37: 2 of 2 others did better"
        in done.stdout
    )
    assert steps(searched, 2.0) < 9, "only one of four goes on there, and that is 3"
    assert "candidate 2 is the best" in done.stdout


def test_what_is_best_so_far_always_goes_on(searched) -> None:
    found = searched.run(train(9.0, 8.0, 5.0, 4.0, 3.0), LENGTH)
    assert {each.status for each in found.candidates} == {"finished"}
    assert found.winner == 5


def test_halving_can_be_switched_off(searched) -> None:
    found = searched.run(
        train(3.0, 4.0, 9.0, 8.0), LENGTH, search_strategy={"sampler": "sequential", "halving": None}
    )
    assert {each.status for each in found.candidates} == {"finished"}


@pytest.mark.parametrize(
    ("done", "expected"), [(0, []), (1, [5.0]), (2, [5.0]), (3, [5.0, 3.0]), (9, [5.0, 3.0])]
)
def test_a_ninth_and_a_third_of_the_steps_are_compared(done: int, expected: list[float]) -> None:
    curve = [Reported(step, 9, 6.0 - step) for step in range(1, done + 1)]
    assert Halving(3).rungs(curve) == (9 if done else 0, expected)
