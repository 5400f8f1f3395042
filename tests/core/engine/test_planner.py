"""The plan of a workflow: what each step takes and gives, what is measured, what is there, what is wrong.

Each is planned in this process and nothing is run, but where the cache is looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import modelpress
from modelpress.engine.plan import PlanDraft
from modelpress.engine.prepare import prepare
from modelpress.errors import WorkflowError
from modelpress.registry import Registry

Plan = Callable[..., PlanDraft]
LOUD = {"type": "Upper"}
MARK = {"type": "Mark"}


@pytest.fixture
def plan(demo, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Plan the demo's workflow with some of its keys replaced."""
    monkeypatch.setenv("MODELPRESS_ONLY_PLUGINS", "demo,local")

    def planned(**changes: object) -> PlanDraft:
        with prepare(demo.write(**changes), Registry.load()) as prepared:
            return prepared.plan

    return planned


def told(draft: PlanDraft) -> list[str]:
    """Every problem: `STEP: what is wrong. What would help.`"""
    return [f"{each.step}: {each.message} {each.hint}".strip() for each in draft.problems]


def metrics(*types: str, **more: object) -> dict[str, object]:
    found = [{"name": name, "type": name, **more} for name in types]
    return {"evaluators": {"e": {"metrics": found}}, "evaluator": "e"}


# -- steps


def test_each_step_takes_what_the_one_before_gives(plan: Plan) -> None:
    draft = plan(passes={"add": {"type": "Append"}, "loud": LOUD, "mark": MARK})
    assert [(step.index, step.name, step.type_name) for step in draft.steps] == [
        (1, "add", "Append"),
        (2, "loud", "Upper"),
        (3, "mark", "Mark"),
    ]
    assert [(step.format_in, step.format_out) for step in draft.steps] == [
        ("text", "text"),
        ("text", "upper"),
        ("upper", "upper"),
    ]
    assert told(draft) == []


def test_a_pass_that_gives_what_it_takes_fits_on_both_sides(plan: Plan) -> None:
    assert told(plan(passes={"mark": MARK, "loud": LOUD, "again": MARK})) == []
    (problem,) = told(plan(passes={"loud": LOUD, "mark": MARK, "louder": LOUD}))
    assert "Step 3 (Upper) takes text, but step 2 (Mark) gives upper." in problem


def test_what_a_pass_says_of_its_result_reaches_the_next(plan: Plan) -> None:
    draft = plan(passes={"a": {**MARK, "pieces": 1}, "b": {"type": "Append"}, "c": {**MARK, "pieces": 2}})
    assert [step.size for step in draft.steps] == [1007, 1007, 3007]
    assert [step.facts_in.size for step in draft.steps] == [7, 1007, 1007]
    assert draft.steps[0].facts_out.path is None, "there is nothing yet"


def test_a_chain_that_does_not_fit_is_told_with_what_would_help(plan: Plan) -> None:
    (problem,) = told(plan(passes={"loud": LOUD, "add": {"type": "Append"}}))
    assert problem == ("add: Step 2 (Append) takes text, but step 1 (Upper) gives upper.")
    (first,) = [p for p in told(plan(passes={"l": LOUD, "m": LOUD, "a": MARK})) if p.startswith("m: ")]
    assert "takes text, but step 1 (Upper) gives upper" in first


def test_the_step_that_would_give_what_is_taken_is_named(plan: Plan) -> None:
    problems = told(plan(passes={"loud": LOUD, "add": {"type": "Append"}, "build": {"type": "Build"}}))
    assert any("Put 'add' after 'build'." in problem for problem in problems)


def test_after_a_step_that_cannot_be_planned_the_rest_is_still_checked(plan: Plan) -> None:
    draft = plan(
        passes={
            "first": {**MARK, "fail": True},
            "second": {"type": "Append", "file": "nowhere.txt"},
            "third": {"type": "Appendd"},
        }
    )
    problems = {problem.partition(":")[0]: problem for problem in told(draft)}
    assert set(problems) == {"first", "second", "third"}
    assert "It cannot be done. Set fail to false." in problems["first"]
    assert "nowhere.txt" in problems["second"]
    assert "Did you mean 'Append'?" in problems["third"]
    with pytest.raises(WorkflowError):
        draft.whole()


def test_a_problem_of_a_pass_is_told_at_the_line_of_its_option(plan: Plan, demo) -> None:
    draft = plan(passes={"first": {**MARK, "fail": True}})
    lines = (demo.folder / "workflow.json").read_text().splitlines()
    (problem,) = draft.problems
    assert problem.where is not None
    assert '"fail": true' in lines[problem.where.line - 1]


def test_a_model_that_is_not_there_does_not_hide_what_else_is_wrong(plan: Plan) -> None:
    draft = plan(
        input_model={"type": "TextModel", "model_path": "gone"},
        passes={"loud": LOUD, "add": {"type": "Append", "file": "nowhere.txt"}},
    )
    problems = " ".join(told(draft))
    assert "gone does not exist" in problems
    assert "nowhere.txt" in problems
    assert "takes text, but step 1 (Upper) gives upper" in problems
    assert draft.model is None


def test_a_note_is_told_once(plan: Plan) -> None:
    draft = plan(passes={"a": {"type": "Build"}})
    assert len(draft.notes) == len(set(draft.notes)) == 1
    assert draft.notes[0].startswith("a: planned for CPUExecutionProvider")


# -- data


def lines(file: str = "lines.txt") -> list[dict[str, object]]:
    return [{"name": "words", "type": "Lines", "file": file}]


def test_a_pass_is_told_what_is_known_of_its_data(plan: Plan, demo) -> None:
    (demo.folder / "lines.txt").write_text("a\nb\n")
    draft = plan(data_configs=lines(), passes={"m": {**MARK, "train_data_config": "words"}})
    assert draft.notes == ["m: 2 rows of line"]
    (step,) = draft.steps
    assert step.data["train"].facts.rows == 2


def test_data_that_cannot_be_found_are_not_described(plan: Plan) -> None:
    (problem,) = told(plan(data_configs=lines("gone.txt"), passes={"m": MARK}))
    assert "gone.txt" in problem
    assert "words" in problem


def test_what_is_wrong_with_data_is_told_though_no_step_reads_them(plan: Plan, demo) -> None:
    (demo.folder / "lines.txt").write_text("")
    (problem,) = told(plan(data_configs=lines(), passes={"m": MARK}))
    assert "The file is empty." in problem


def test_other_data_are_another_key_for_those_who_read_them_and_nobody_else(plan: Plan, demo) -> None:
    file = demo.folder / "lines.txt"
    chain = {"plain": MARK, "taught": {**MARK, "train_data_config": "words"}, "after": MARK}
    file.write_text("a\n")
    before = [step.key for step in plan(data_configs=lines(), passes=chain).steps]
    file.write_text("a\nb\n")
    after = [step.key for step in plan(data_configs=lines(), passes=chain).steps]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, False]


# -- what is measured


def names(draft: PlanDraft) -> list[tuple[str, int]]:
    return [(measurement.name, measurement.after) for measurement in draft.measurements]


def test_the_last_model_is_measured(plan: Plan) -> None:
    assert names(plan(**metrics("words", "letters"))) == [("words", 2), ("letters", 2)]


def test_a_pass_may_have_an_evaluator_of_its_own(plan: Plan) -> None:
    chain = {"first": {"type": "Append", "evaluator": "e"}, "second": LOUD}
    assert names(plan(passes=chain, **metrics("words"))) == [("words", 1), ("words", 2)]


def test_without_passes_the_input_model_is_measured(plan: Plan) -> None:
    draft = plan(passes=None, output_dir=None, **metrics("words"))
    assert names(draft) == [("words", 0)]
    assert draft.steps == []


def test_a_goal_that_compares_has_the_input_model_measured_once(plan: Plan) -> None:
    goal = {"name": "words", "goal": {"type": "min-improvement", "value": 1}}
    chain = {"first": {"type": "Append", "evaluator": "e"}, "second": LOUD}
    draft = plan(passes=chain, **metrics("words", sub_types=[goal]))
    assert names(draft) == [("words of the input model", 0), ("words", 1), ("words", 2)]
    assert [measurement.is_baseline for measurement in draft.measurements] == [True, False, False]


def test_a_threshold_needs_nothing_to_compare_with(plan: Plan) -> None:
    goal = {"name": "words", "goal": {"type": "threshold", "value": 1}}
    assert names(plan(**metrics("words", sub_types=[goal]))) == [("words", 2)]


def test_the_input_model_is_measured_where_the_workflow_asks_and_the_metric_can(plan: Plan) -> None:
    draft = plan(evaluate_input_model=True, **metrics("words", "shouts"))
    assert names(draft) == [("words of the input model", 0), ("words", 2), ("shouts", 2)]


def test_a_metric_of_another_format_is_a_problem(plan: Plan) -> None:
    (problem,) = told(plan(passes={"add": {"type": "Append"}}, **metrics("shouts")))
    assert "shouts measures upper, but the model is text." in problem


def test_tasks_are_in_the_order_in_which_they_are_done(plan: Plan) -> None:
    chain = {"first": {"type": "Append", "evaluator": "e"}, "second": LOUD}
    draft = plan(passes=chain, **metrics("words"))
    assert [task.name for task in draft.tasks] == ["first", "words", "second", "words"]
    assert len({task.key for task in draft.tasks}) == 4


# -- the cache


def test_what_was_done_is_in_the_cache_up_to_what_changed(plan: Plan, demo) -> None:
    chain = {"first": {"type": "Append", "text": " x"}, "second": LOUD}
    plan(passes=chain, **metrics("words"))
    modelpress.run(demo.folder / "workflow.json", in_process=True)
    assert [task.cached for task in plan(passes=chain, **metrics("words")).tasks] == [True, True, True]
    longer = {**chain, "third": MARK}
    assert [task.cached for task in plan(passes=longer, **metrics("words")).tasks] == [
        True,
        True,
        False,
        False,
    ]
    other = {**chain, "first": {"type": "Append", "text": " y"}}
    assert not any(task.cached for task in plan(passes=other, **metrics("words")).tasks)


def test_a_plan_writes_nothing(plan: Plan, demo) -> None:
    plan(**metrics("words"))
    assert sorted(path.name for path in demo.folder.iterdir()) == ["model", "workflow.json"]


# -- what a run takes


def test_disk_is_what_is_not_in_the_cache_and_the_model_that_is_put_out(plan: Plan, demo) -> None:
    chain = {"a": {**MARK, "pieces": 2}, "b": {**MARK, "pieces": 1}}
    assert plan(passes=chain).disk_needed == 2007 + 3007 + 3007
    assert plan(passes=chain, output_dir=None).disk_needed == 2007 + 3007
    modelpress.run(demo.folder / "workflow.json", in_process=True)
    assert plan(passes=chain).disk_needed == 3007


def test_memory_is_what_the_largest_step_takes(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelpress.engine.planner.available_memory", lambda: 4 * 2**30)
    draft = plan(passes={"a": {**MARK, "seconds": 2.0}, "b": {**MARK, "seconds": 1.0}})
    assert draft.memory_needed == 2 * 2**30
    assert [step.memory for step in draft.steps] == [2 * 2**30, 2**30]
    assert draft.notes == []


def test_less_memory_than_a_step_takes_is_told(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelpress.engine.planner.available_memory", lambda: 2**30)
    draft = plan(passes={"a": {**MARK, "seconds": 8.0}})
    assert draft.notes == ["The largest step needs about 8.0 GiB of memory; 1.0 GiB are free."]
    assert told(draft) == [], "the estimate may be wrong: it is told, not refused"


def test_needs_that_the_workflow_writes_count_more_than_the_estimate(plan: Plan) -> None:
    draft = plan(passes={"a": {**MARK, "seconds": 1.0, "needs": {"memory": "3GiB"}}})
    assert draft.steps[0].needs.memory == 3 * 2**30
    assert draft.memory_needed == 3 * 2**30


# -- the whole


def test_a_plan_without_problems_is_whole(plan: Plan, demo) -> None:
    whole = plan(**metrics("words")).whole()
    assert whole.model.path == demo.folder / "model"
    assert [step.name for step in whole.steps] == ["first", "second"]
    assert whole.workflow.output_dir == demo.folder / "output"


def test_a_plan_with_problems_raises_them_all(plan: Plan) -> None:
    with pytest.raises(WorkflowError) as refused:
        plan(passes={"a": {"type": "Appendd"}, "b": {"type": "Upperr"}}).whole()
    assert len(refused.value.problems) == 2


def test_a_file_that_a_system_names_has_to_be_there(plan: Plan) -> None:
    system = {"type": "LocalSystem", "max_jobs": 0}
    assert any("max_jobs" in problem for problem in told(plan(systems={"here": system}, host="here")))


@pytest.mark.parametrize("written", ["output", "cache"])
def test_a_folder_that_the_run_writes_to_is_no_part_of_the_input_model(
    plan: Plan, demo, written: str
) -> None:
    where = {"output": {"output_dir": "model/out"}, "cache": {"cache_dir": "model/cache"}}[written]
    before = plan(**where).steps[0].key
    inside = demo.folder / "model" / ("out" if written == "output" else "cache")
    inside.mkdir()
    (inside / "left").write_text("of an earlier run")
    assert plan(**where).steps[0].key == before
    (demo.folder / "model" / "more.txt").write_text("of the model")
    assert plan(**where).steps[0].key != before


def test_a_path_counts_from_the_folder_of_the_workflow(plan: Plan, demo, tmp_path: Path) -> None:
    (demo.folder / "more.txt").write_text("more")
    (step,) = plan(passes={"a": {"type": "Append", "file": "more.txt"}}).steps
    assert [str(path) for path in step.resolved.inputs.values()] == [str(demo.folder / "more.txt")]
