"""A search tries candidates, takes the best that meets the goals, and is not stopped by those that fail."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

import modelpress
from modelpress.engine.search.record import SearchRecord
from modelpress.errors import GoalsMissed, PassError, WorkflowError
from modelpress.events import CandidateFinished, Event, SearchFinished, SearchStarted
from modelpress.records import from_json

WORDS = {"type": "words", "sub_types": [{"name": "words", "priority": 1}]}
LETTERS = {"type": "letters", "sub_types": [{"name": "letters", "priority": 1}]}


def write(demo: Any, passes: Mapping[str, Any], *metrics: Mapping[str, Any], **changes: Any) -> Path:
    found: Path = demo.write(
        passes=passes,
        evaluators={"e": {"metrics": list(metrics or [LETTERS])}},
        evaluator="e",
        **{"search_strategy": {"sampler": "sequential"}, **changes},
    )
    return found


def search(demo: Any, passes: Mapping[str, Any], *metrics: Mapping[str, Any], **changes: Any) -> Any:
    return modelpress.run(write(demo, passes, *metrics, **changes), in_process=True)


def record_of(result: Any) -> SearchRecord:
    return from_json(SearchRecord, result.run_record["search"])


def words_with(type: str, value: float) -> dict[str, Any]:
    return {"type": "words", "sub_types": [{"name": "words", "goal": {"type": type, "value": value}}]}


def append(*texts: str) -> dict[str, Any]:
    return {"add": {"type": "Append", "text": {"choice": list(texts)}}}


def test_the_best_candidate_is_made_and_written(demo) -> None:
    result = search(demo, append(" long one", " x", " more"))
    assert demo.text == "one two x"
    found = record_of(result)
    assert [c.metrics["letters"] for c in found.candidates] == [16, 9, 12]
    assert (found.winner, found.space, found.ended) == (2, 3, "every candidate was tried")
    assert result.metrics["letters"] == 9


def test_goals_are_constraints(demo) -> None:
    words = {
        "type": "words",
        "sub_types": [{"name": "words", "goal": {"type": "min-improvement", "value": 2}}],
    }
    result = search(demo, append(" x", " a b", " a b c"), LETTERS, words)
    assert demo.text == "one two a b"
    assert [round(c.miss, 3) for c in record_of(result).candidates] == [0.25, 0, 0]


def test_the_input_model_is_measured_once(demo) -> None:
    words = {
        "type": "words",
        "sub_types": [{"name": "words", "goal": {"type": "max-degradation", "value": 0}}],
    }
    search(demo, append(" x", " a b", " a b c"), LETTERS, words)
    assert demo.done.count("words") == 4


def test_without_a_candidate_that_meets_the_goals_the_nearest_are_told(demo) -> None:
    words = words_with("threshold", 6)
    with pytest.raises(GoalsMissed) as told:
        search(demo, append(" x", " a b"), LETTERS, words)
    assert "None of 2 candidates meets the goals" in told.value.message
    assert "words 4, goal missed by 2: at least 6" in told.value.message
    record = json.loads((demo.folder / "output" / "run.json").read_text())["search"]
    assert record["nearest"] == [2, 1]
    assert record["winner"] is None
    assert not (demo.folder / "output" / "model").exists()


def test_a_candidate_that_fails_is_recorded_and_the_rest_goes_on(demo) -> None:
    passes = {"add": {"type": "Append", "text": " x", "fail": {"choice": [True, False]}}}
    found = record_of(search(demo, passes))
    assert [c.status for c in found.candidates] == ["failed", "finished"]
    assert found.candidates[0].error is not None
    assert found.candidates[0].error.message == "It cannot be done."
    assert found.winner == 2


@pytest.mark.parametrize("text", [" NAN", " NOTHING"])
@pytest.mark.parametrize("higher", [True, False])
def test_what_has_no_number_never_ranks_best(demo, text: str, higher: bool) -> None:
    letters = {
        "type": "letters",
        "sub_types": [{"name": "letters", "priority": 1, "higher_is_better": higher}],
    }
    found = record_of(search(demo, append(text, " good"), letters))
    assert found.winner == 2
    assert found.candidates[0].status == "failed"
    assert "letters" in found.candidates[0].error.message
    assert "NaN" not in json.dumps(json.loads((demo.folder / "output" / "run.json").read_text())["search"])


def test_a_missing_number_with_a_goal_is_no_number_either(demo) -> None:
    goal = {"name": "letters", "goal": {"type": "threshold", "value": 100}}
    found = record_of(search(demo, append(" NOTHING", " good"), {"type": "letters", "sub_types": [goal]}))
    assert (found.winner, found.candidates[0].status) == (2, "failed")


def test_where_every_candidate_fails_the_reasons_are_told(demo) -> None:
    passes = {"add": {"type": "Append", "fail": True, "text": {"choice": ["a", "b"]}}}
    with pytest.raises(PassError, match="None of 2 candidates could be made and measured: It cannot be done"):
        search(demo, passes)


def test_shared_prefixes_are_done_once(demo) -> None:
    passes = {
        "first": {"type": "Append", "text": " base"},
        "second": {"type": "Append", "text": {"choice": [" a", " b", " c"]}},
        "third": [{"type": "Upper"}, None],
    }
    found = record_of(search(demo, passes))
    assert len(found.candidates) == 6
    assert sorted(set(demo.done)) == sorted(
        ["append  base", "append  a", "append  b", "append  c", "upper", "letters"]
    )
    assert [demo.done.count(f"append  {what}") for what in ("base", "a", "b", "c")] == [1, 1, 1, 1]
    assert demo.done.count("upper") == 3


def test_a_search_that_has_ended_is_not_done_again(demo) -> None:
    search(demo, append(" a", " bb"))
    done = demo.done
    found = record_of(search(demo, append(" a", " bb")))
    assert demo.done == done
    assert (len(found.candidates), found.winner) == (2, 1)


def test_more_samples_go_on_where_it_ended(demo) -> None:
    search(demo, append(" aaa", " bb", " c"), search_strategy={"sampler": "sequential", "max_samples": 1})
    assert demo.text == "one two aaa"
    found = record_of(search(demo, append(" aaa", " bb", " c")))
    assert [c.number for c in found.candidates] == [1, 2, 3]
    assert demo.done.count("append  aaa") == 1


def test_it_stops_when_the_goals_are_met(demo) -> None:
    letters = {
        "type": "letters",
        "sub_types": [{"name": "letters", "priority": 1, "goal": {"type": "threshold", "value": 10}}],
    }
    strategy = {"sampler": "sequential", "stop_when_goals_met": True}
    found = record_of(search(demo, append(" aaaa", " b", " c"), letters, search_strategy=strategy))
    assert (len(found.candidates), found.winner, found.ended) == (2, 2, "the goals are met")


def test_pass_by_pass_takes_the_best_of_one_for_the_next(demo) -> None:
    passes = {
        "first": {"type": "Append", "text": {"choice": [" long", " s", " mid"]}},
        "second": {"type": "Append", "text": {"choice": ["yyy", "zz", "x"]}},
    }
    strategy = {"sampler": "sequential", "execution_order": "pass-by-pass"}
    found = record_of(search(demo, passes, search_strategy=strategy))
    assert [c.stage for c in found.candidates] == [1, 1, 1, 2, 2]
    assert demo.text == "one two sx"


def test_each_candidate_is_told_with_the_best_so_far(demo) -> None:
    told: list[Event] = []
    modelpress.run(write(demo, append(" aa", " b")), in_process=True, on_event=told.append)
    started = next(event for event in told if isinstance(event, SearchStarted))
    assert (started.axes, started.candidates, started.known) == (1, 2, 0)
    lines = [event for event in told if isinstance(event, CandidateFinished)]
    assert [(line.number, line.choices, line.numbers, line.best) for line in lines] == [
        (1, "text  aa", "letters 10", 1),
        (2, "text  b", "letters 9", 2),
    ]
    assert isinstance(next(event for event in told if isinstance(event, SearchFinished)), SearchFinished)


def test_the_record_tells_what_each_candidate_is_made_of(demo) -> None:
    (first, _) = record_of(search(demo, append(" aa", " b"))).candidates
    assert first.choices == {"passes.add.text": " aa"}
    assert [(task.name, task.kind, task.after) for task in first.tasks] == [
        ("add", "pass", 0),
        ("letters", "metric", 1),
    ]
    assert first.artifact == first.tasks[0].key
    assert (demo.folder / "cache" / "artifacts" / first.artifact / "text.txt").is_file()


def test_problems_that_hold_for_every_candidate_are_told_before_any_work(demo) -> None:
    passes = {"loud": {"type": "Upper"}, "add": {"type": "Append", "text": {"choice": ["a", "b"]}}}
    with pytest.raises(WorkflowError, match="takes text, but step 1"):
        search(demo, passes)
    assert demo.done == []


def test_the_winner_is_reproduced_by_the_workflow_beside_it(demo) -> None:
    search(demo, append(" long one", " x"))
    written = demo.folder / "output" / "workflow.yaml"
    assert yaml.safe_load(written.read_text())["passes"] == {"add": {"type": "Append", "text": " x"}}
    done = demo.done
    again = modelpress.run(
        written, in_process=True, cache_dir=demo.folder / "cache", output_dir=demo.folder / "o"
    )
    assert (again.artifact.path / "text.txt").read_text() == "one two x"
    assert demo.done == done


def test_a_candidate_that_hangs_is_ended_at_its_limit(demo) -> None:
    step = {
        "type": "Append",
        "text": " x",
        "seconds": 300,
        "pieces": {"choice": [1, 0]},
        "needs": {"time": 2},
    }
    write(demo, {"add": step})
    done = demo.run()
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = json.loads((demo.folder / "output" / "run.json").read_text())["search"]["candidates"]
    assert (first["status"], second["status"]) == ("failed", "finished")
    assert "takes longer than it may: 2 s" in first["error"]["message"]
    assert "candidate 1: pieces 1, failed: add takes longer" in done.stdout


def test_a_search_that_is_killed_goes_on_to_the_same_winner(demo) -> None:
    texts = [f" {'x' * (1 + (7 * number) % 11)}{number}" for number in range(8)]
    strategy = {"sampler": "tpe", "n_startup_trials": 3, "seed": 3, "max_samples": 6}
    write(demo, append(*texts), cache_dir="whole", search_strategy=strategy)
    assert demo.run().returncode == 0
    whole = json.loads((demo.folder / "output" / "run.json").read_text())["search"]
    done = len(demo.done)
    write(demo, append(*texts), search_strategy=strategy)
    chance = Random(5)
    for _ in range(3):
        started = demo.start()
        time.sleep(chance.uniform(1.5, 3.5))
        started.kill()
        started.wait()
    assert demo.run().returncode == 0
    found = json.loads((demo.folder / "output" / "run.json").read_text())["search"]
    assert [c["choices"] for c in found["candidates"]] == [c["choices"] for c in whole["candidates"]]
    assert found["winner"] == whole["winner"]
    assert len(demo.done) - done <= done + 2 * 3, "each kill costs no more than the work that it met"
