"""What a workflow leaves open is read as axes, and what is wrong with it is told before any work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml

from modelpress.config.workflow import Search, WorkflowDraft

Load = Callable[..., WorkflowDraft]
LORA = {"type": "LoRA", "train_data_config": "d"}


def document(passes: Mapping[str, Any], **changes: Any) -> str:
    values = {
        "input_model": {"type": "HfModel", "model_path": "m"},
        "data_configs": [{"name": "d", "type": "HuggingfaceContainer"}],
        "passes": passes,
        "evaluators": {"e": {"metrics": [{"type": "perplexity", "data_config": "d"}]}},
        "evaluator": "e",
        **changes,
    }
    return yaml.safe_dump({key: value for key, value in values.items() if value is not None}, sort_keys=False)


def searched(workflow: WorkflowDraft) -> Search:
    assert [str(problem) for problem in workflow.problems] == []
    assert workflow.search is not None
    return workflow.search


def lora_with(**options: Any) -> str:
    return document({"lora": {**LORA, **options}})


def test_a_choice_is_an_axis_and_its_first_value_is_what_is_planned(load: Load) -> None:
    workflow = load(lora_with(r={"choice": [16, 32]}))
    (axis,) = searched(workflow).open.axes
    assert (axis.name, axis.values, axis.interval) == ("passes.lora.r", (16, 32), None)
    (step,) = workflow.passes
    assert step.options.canonical()["r"] == 16


def test_a_candidate_decides_what_is_open(load: Load) -> None:
    search = searched(load(lora_with(r={"choice": [16, 32]}, training_args={"max_steps": {"range": [1, 9]}})))
    draft = search.decide({"passes.lora.r": 32, "passes.lora.training_args.max_steps": 7})
    (step,) = draft.passes
    options = step.options.canonical()
    assert (options["r"], options["training_args"]["max_steps"]) == (32, 7)
    assert not list(draft.problems)


def test_values_may_be_lists(load: Load) -> None:
    search = searched(load(lora_with(target_modules={"choice": [["q"], ["q", "k"]]})))
    (axis,) = search.open.axes
    assert axis.values == ('["q"]', '["q", "k"]')
    (step,) = search.decide({axis.name: axis.values[1]}).passes
    assert step.options.canonical()["target_modules"] == ["q", "k"]


def test_a_range_has_a_kind(load: Load) -> None:
    rate = {
        "learning_rate": {"range": [1e-5, 1e-3], "log": True},
        "max_steps": {"range": [10, 30], "step": 10},
    }
    text = document({"lora": {**LORA, "training_args": rate}}, search_strategy={"max_samples": 3})
    first, second = (axis.interval for axis in searched(load(text)).open.axes)
    assert first is not None
    assert (first.log, first.whole) == (True, False)
    assert second is not None
    assert (second.step, second.whole) == (10, True)


def test_alternatives_share_what_they_leave_open_alike(load: Load) -> None:
    both = [{**LORA, "r": {"choice": [8, 16]}}, {**LORA, "alpha": 3, "r": {"choice": [8, 16]}}]
    axes = {axis.name: axis for axis in searched(load(document({"lora": both}))).open.axes}
    assert axes["passes.lora"].values == ("LoRA", "LoRA-2")
    assert axes["passes.lora.r"].when == {"passes.lora": ("LoRA", "LoRA-2")}


def test_alternatives_that_differ_have_axes_of_their_own(load: Load) -> None:
    both = [{**LORA, "r": {"choice": [8, 16]}}, {**LORA, "r": {"choice": [4]}}]
    axes = {axis.name: axis for axis in searched(load(document({"lora": both}))).open.axes}
    assert axes["passes.lora.r"].when == {"passes.lora": ("LoRA",)}
    assert axes["passes.lora.LoRA-2.r"].when == {"passes.lora": ("LoRA-2",)}


def test_null_leaves_a_step_out(load: Load) -> None:
    steps = {
        "lora": LORA,
        "merge": {"type": "MergeAdapterWeights"},
        "build": [None, {"type": "ModelBuilder", "precision": "int4"}],
    }
    search = searched(load(document(steps)))
    assert search.open.axes[0].values == ("none", "ModelBuilder")
    assert [step.name for step in search.decide({"passes.build": "none"}).passes] == ["lora", "merge"]
    assert len(search.decide({"passes.build": "ModelBuilder"}).passes) == 3


def test_several_flows_are_an_axis_on_which_their_options_hang(load: Load) -> None:
    steps = {
        "lora": LORA,
        "more": {**LORA, "r": {"choice": [1, 2]}},
        "merge": {"type": "MergeAdapterWeights"},
    }
    flows = [["lora", "merge"], ["more", "merge"]]
    axes = searched(load(document(steps, pass_flows=flows, search_strategy=True))).open.axes
    assert axes[0].values == ("lora, merge", "more, merge")
    assert axes[1].when == {"pass_flows": ("more, merge",)}


def test_an_option_may_hang_on_another(load: Load) -> None:
    alpha = {"choice": [1, 2], "when": {"passes.lora.r": [8]}}
    first, second = searched(load(lora_with(alpha=alpha, r={"choice": [4, 8]}))).open.axes
    assert (first.name, second.name) == ("passes.lora.r", "passes.lora.alpha")
    assert second.when == {"passes.lora.r": (8,)}


def test_what_a_pass_knows_of_its_options_can_be_searched(load: Load) -> None:
    (axis,) = searched(load(lora_with(use_dora="SEARCHABLE_VALUES"))).open.axes
    assert axis.values == (False, True)


def test_the_strategy_has_the_options_of_its_sampler(load: Load) -> None:
    strategy = {"sampler": "tpe", "n_startup_trials": 3, "seed": 7, "execution_order": "pass-by-pass"}
    found = searched(
        load(document({"lora": {**LORA, "r": {"choice": [1, 2]}}}, search_strategy=strategy))
    ).strategy
    assert found is not None
    assert (found.seed, found.execution_order) == (7, "pass-by-pass")
    assert found.options.canonical() == {"n_startup_trials": 3}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"r": {"choice": [16, "many"]}}, "'r' has to be"),
        ({"r": {"choice": [16, 0]}}, "'r' has to be"),
        ({"r": {"choice": []}}, "The choice of 'r' is an empty list"),
        ({"r": {"choice": [4, 4]}}, "has 4 twice"),
        ({"r": {"range": [64, 8]}}, "goes from 64 to 8"),
        ({"r": {"range": [8]}}, "has to be two numbers"),
        ({"r": {"range": [0, 8]}}, "'r' has to be"),
        ({"r": {"range": [0, 8], "log": True}}, "begins above 0"),
        ({"alpha": {"choice": [1], "when": {"passes.lora.q": [1]}}}, "'passes.lora.q' in `when` is not open"),
        ({"r": {"choice": [1]}, "alpha": {"choice": [1], "when": {"passes.lora.r": [3]}}}, "is never 3"),
        ({"r": "SEARCHABLE_VALUES"}, "does not say which values of 'r'"),
    ],
)
def test_what_cannot_be_searched_is_told_with_its_line(load: Load, options: Any, told: str) -> None:
    workflow = load(lora_with(**options))
    (problem,) = workflow.problems
    assert told in problem.message
    assert problem.where is not None
    assert problem.where.line > 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"search_strategy": {"sampler": "tpee"}}, "There is no sampler 'tpee'"),
        ({"search_strategy": {"sampler": "tpe", "startup": 3}}, "has no option 'startup'"),
        ({"search_strategy": {"execution_order": "all"}}, "'execution_order' has to be"),
        ({"search_strategy": {"max_samples": 0}}, "'max_samples' has to be"),
        ({"search_strategy": False}, "It is left open"),
        ({"evaluator": None}, "needs numbers to choose by"),
    ],
)
def test_a_strategy_that_cannot_be_followed_is_told(load: Load, changes: Any, told: str) -> None:
    (problem,) = load(document({"lora": {**LORA, "r": {"choice": [1, 2]}}}, **changes)).problems
    assert told in problem.message


def test_an_endless_search_needs_a_limit(load: Load) -> None:
    open_rate = {"training_args": {"learning_rate": {"range": [0.1, 0.2]}}}
    (problem,) = load(lora_with(**open_rate)).problems
    assert "has no end" in problem.message
