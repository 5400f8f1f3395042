"""Work on a candidate ends as soon as it cannot be chosen any more, and the best is the same."""

from __future__ import annotations

from typing import Any

import pytest

import modelpress
from modelpress.errors import GoalsMissed


def metric(name: str, *, priority: int | None = None, **goal: float) -> dict[str, Any]:
    """A metric with its number of the same name. goal: type=value, with `_` for `-`."""
    sub: dict[str, Any] = {"name": name}
    if priority:
        sub["priority"] = priority
    for type, value in goal.items():
        sub["goal"] = {"type": type.replace("_", "-"), "value": value}
    return {"type": name, "sub_types": [sub]}


NEAR = metric("near", priority=1)


def grow(*texts: str) -> dict[str, object]:
    return {"grow": {"type": "Grow", "text": {"choice": list(texts)}}}


def test_what_the_plan_knows_to_be_too_large_is_not_built(searched) -> None:
    found = searched.run(grow("n" * 30, "nn", "n"), NEAR, metric("length", threshold=10))
    assert [each.status for each in found.candidates] == ["pruned", "finished", "finished"]
    assert found.winner == 3
    assert searched.count("begin grow") == 2
    told = found.candidates[0].error.message
    assert told == "by its plan: length 37, goal missed by 27: at most 10"
    assert not found.candidates[0].is_built


def test_what_may_just_fit_is_built(searched) -> None:
    found = searched.run(grow("n" * 4, "n"), NEAR, metric("length", threshold=10))
    assert found.candidates[0].is_built
    assert found.candidates[0].error.message == "length 11, goal missed by 1: at most 10"


def test_a_limit_by_the_input_model_is_estimated_too(searched) -> None:
    found = searched.run(grow("n" * 30, "n"), NEAR, metric("length", percent_max_degradation=50))
    assert [each.status for each in found.candidates] == ["pruned", "finished"]


def test_the_cheap_numbers_come_before_the_dear_ones(searched) -> None:
    found = searched.run(grow("ng" * 8), metric("score"), NEAR, metric("length"))
    assert [task.name for task in found.candidates[0].tasks] == ["grow", "length", "near", "score"]


def test_limits_are_not_looked_at_of_what_is_worse_than_the_best(searched) -> None:
    found = searched.run(grow("ngg", "nngg", "gg"), NEAR, metric("score", threshold=0.1))
    assert [each.status for each in found.candidates] == ["finished", "pruned", "finished"]
    assert found.candidates[1].error.message == "near 3 is worse than that of candidate 1, 2"
    assert found.winner == 3
    assert [task.name for task in found.candidates[1].tasks] == ["grow", "near"]


def test_what_is_chosen_by_is_measured_of_each(searched) -> None:
    found = searched.run(grow("ng", "nng"), NEAR, metric("score", priority=2))
    assert [each.status for each in found.candidates] == ["finished", "finished"]
    assert found.front == [1]


def test_a_first_part_tells_what_is_hopeless(searched) -> None:
    found = searched.run(grow("n" + "b" * 40, "n" + "g" * 40), NEAR, metric("score", threshold=0.9))
    assert [each.status for each in found.candidates] == ["pruned", "finished"]
    assert "by max_samples 4: score 0, goal missed by 0.9" in found.candidates[0].error.message
    assert searched.demo.done.count("score 41") == 1


def test_a_part_that_is_not_sure_ends_nothing(searched) -> None:
    found = searched.run(grow("ngb" + "g" * 40), NEAR, metric("score", threshold=0.6))
    assert found.candidates[0].status == "finished"
    assert searched.demo.done[-2:] == ["score 4", "score 43"]


def test_the_winner_is_not_measured_in_parts_again(searched) -> None:
    searched.run(grow("n" + "g" * 40), NEAR, metric("score", threshold=0.6))
    assert searched.count("score") == 2


def test_without_pruning_each_is_measured_to_its_end(searched) -> None:
    strategy = {"sampler": "sequential", "prune": False}
    texts = grow("n" * 30, "nn", "n")
    found = searched.run(texts, NEAR, metric("length", threshold=10), search_strategy=strategy)
    assert {each.status for each in found.candidates} == {"finished"}
    assert found.winner == 3


def test_where_none_meets_the_goals_the_nearest_are_measured_to_their_end(searched) -> None:
    file = searched.write(grow("n" * 60, "nn" * 10, "n" * 50), NEAR, metric("length", threshold=10))
    with pytest.raises(GoalsMissed) as told:
        modelpress.run(file, in_process=True)
    assert "2: text nnnnnnnnnnnnnnnnnnnn: length 27, goal missed by 17: at most 10" in told.value.message
    assert searched.count("begin grow") == 3


def test_what_is_pruned_is_told(searched) -> None:
    searched.write(grow("n" * 30, "n"), NEAR, metric("length", threshold=10))
    done = searched.demo.run()
    assert "pruned: by its plan: length 37, goal missed by 27: at most 10" in done.stdout
    assert "2 candidates (1 pruned) tried" in done.stdout


def test_the_kinds_of_goals_hold_together(searched) -> None:
    """One each, over the same candidates; only the third meets all."""
    searched.demo.folder.joinpath("model", "text.txt").write_text("one two" + "ng" * 4)
    goals = [
        metric("length", percent_max_degradation=60),
        metric("near", max_degradation=2),
        metric("score", min_improvement=0.1),
    ]
    found = searched.run(grow("g" * 40, "nnn" + "g" * 5, "g" * 6, "bb"), metric("length", priority=1), *goals)
    assert found.winner == 3
