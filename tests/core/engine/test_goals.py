"""Sub-metrics mean numbers, and goals are judged: met or missed, and by how much."""

from __future__ import annotations

import json

import pytest

import modelpress
from modelpress.engine.goals import Judgement
from modelpress.errors import GoalsMissed, WorkflowError


def measured(demo, *subs: dict, **changes) -> modelpress.RunResult:
    """A run whose last model ("one two more", 3 words) is measured beside its input (2 words)."""
    metric = {"name": "w", "type": "words", "sub_types": list(subs)}
    demo.write(
        passes={"first": {"type": "Append", "text": " more"}},
        evaluators={"e": {"metrics": [metric]}}, evaluator="e", **changes,
    )  # fmt: skip
    return modelpress.run(demo.folder / "workflow.json", in_process=True)


def goal(type: str, value: float, **more: object) -> dict:
    return {"name": "words", "goal": {"type": type, "value": value}, **more}


@pytest.mark.parametrize(
    ("type", "wanted", "limit", "margin"),
    [
        ("threshold", 3, 3, 0),
        ("threshold", 5, 5, -2),
        ("min-improvement", 1, 3, 0),
        ("min-improvement", 2, 4, -1),
        ("percent-min-improvement", 25, 2.5, 0.5),
        ("percent-min-improvement", 100, 4, -1),
        ("max-degradation", 1, 1, 2),
        ("max-degradation", -2, 4, -1),
        ("percent-max-degradation", 50, 1, 2),
        ("percent-max-degradation", -100, 4, -1),
    ],
)
def test_a_goal_is_judged_where_higher_is_better(
    demo, type: str, wanted: float, limit: float, margin: float
) -> None:
    (judged,) = measured(demo, goal(type, wanted)).goals
    assert (judged.value, judged.limit, judged.margin, judged.met) == (3, limit, margin, margin >= 0)
    assert judged.baseline == (None if type == "threshold" else 2)


@pytest.mark.parametrize(
    ("type", "wanted", "limit", "margin"),
    [
        ("threshold", 4, 4, 1),
        ("threshold", 1, 1, -2),
        ("min-improvement", 1, 1, -2),
        ("percent-min-improvement", 50, 1, -2),
        ("max-degradation", 1, 3, 0),
        ("percent-max-degradation", 25, 2.5, -0.5),
    ],
)
def test_a_goal_is_judged_where_lower_is_better(
    demo, type: str, wanted: float, limit: float, margin: float
) -> None:
    (judged,) = measured(demo, goal(type, wanted, higher_is_better=False)).goals
    assert (judged.limit, judged.margin, judged.met) == (limit, margin, margin >= 0)


def test_the_input_model_is_measured_once_and_only_where_a_goal_compares_with_it(demo) -> None:
    measured(demo, goal("threshold", 1))
    assert demo.done.count("words") == 1
    two = {"name": "w2", "type": "words", "sub_types": [goal("max-degradation", 0)]}
    for _ in range(2):
        result = measured(demo, goal("min-improvement", 1), goal("max-degradation", 3))
    assert len(result.goals) == 2
    assert demo.done.count("words") == 2  # the input; the result was measured before
    assert result.metrics == {"words": 3}
    baseline, *_ = result.run_record["steps"]
    assert (baseline["name"], baseline["baseline"], baseline["metrics"]) == (
        "w of the input model", True, {"words": 2},
    )  # fmt: skip
    assert two


def test_goals_are_in_the_record_and_in_the_summary(demo) -> None:
    measured(demo, goal("threshold", 5))
    record = json.loads((demo.folder / "output" / "run.json").read_text())
    (judged,) = record["goals"]
    assert (judged["number"], judged["met"], judged["margin"]) == ("words", False, -2)
    done = demo.run()
    assert done.returncode == 0
    assert "words  3  goal missed by 2: at least 5" in done.stdout


def test_a_missed_goal_that_is_required_ends_with_4_and_the_model_is_there(demo) -> None:
    with pytest.raises(GoalsMissed, match="w: words 3, goal missed by 2: at least 5"):
        measured(demo, goal("threshold", 5), require_goals=True)
    assert (demo.folder / "output" / "model" / "text.txt").exists()
    record = json.loads((demo.folder / "output" / "run.json").read_text())
    assert (record["status"], record["error"]["type"]) == ("failed", "GoalsMissed")
    assert record["artifact"]["path"].endswith("model")
    assert demo.run().returncode == 4


def test_goals_that_are_met_need_not_be_told_by_an_error(demo) -> None:
    assert all(judged.met for judged in measured(demo, goal("threshold", 3), require_goals=True).goals)


def test_a_number_that_a_metric_does_not_give_is_told_with_the_nearest(demo) -> None:
    with pytest.raises(WorkflowError) as caught:
        measured(demo, {"name": "wrods"})
    (problem,) = caught.value.problems
    assert "words gives no number 'wrods'. " in f"{problem.message} "
    assert "'words'" in problem.hint
    assert problem.where
    assert problem.where.line > 1
    assert demo.done == []


def test_large_numbers_are_told_in_full() -> None:
    judged = Judgement("size", "bytes", "threshold", 10, 4063284, None, 10, False, -4063274, False)
    assert str(judged) == "goal missed by 4063274: at most 10"
    relative = Judgement("a", "accuracy", "max-degradation", 0.02, 0.9, 0.95, 0.93, True, -0.03, False)
    assert str(relative) == "goal missed by 0.03: at least 0.93 (max-degradation 0.02, from 0.95)"


def test_the_input_model_is_measured_too_where_the_workflow_says_so(demo) -> None:
    result = measured(demo, evaluate_input_model=True)
    assert (result.input_metrics, result.metrics) == ({"words": 2}, {"words": 3})
    record = json.loads((demo.folder / "output" / "run.json").read_text())
    assert (record["input_metrics"], record["metrics"]) == ({"words": 2}, {"words": 3})
    done = demo.run()
    assert "words  3  before: 2" in done.stdout
    assert demo.done.count("words") == 2
