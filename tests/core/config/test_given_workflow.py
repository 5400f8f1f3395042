"""A workflow as it is given: values from Python instead of a file, and settings that count more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from modelpress.config.given import Given, Setting
from modelpress.config.load import load_workflow
from modelpress.config.workflow import PassChoice, WorkflowDraft
from modelpress.errors import UserError, WorkflowError
from modelpress.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    Set = Callable[..., WorkflowDraft]

FILE = """\
input_model: {type: HfModel, model_path: model}
data_configs:
- name: train
  type: HuggingfaceContainer
  load_dataset_config: {data_name: json}
evaluators:
  quality:
    metrics:
    - {name: ppl, type: perplexity, data_config: train}
passes:
  lora: {type: LoRA, train_data_config: train, r: 8, target_modules: [q, k]}
  merge: {type: MergeAdapterWeights}
"""
VALUES: dict[str, Any] = {
    "input_model": {"type": "HfModel", "model_path": Path("model")},
    "data_configs": [{"name": "train", "type": "HuggingfaceContainer"}],
    "passes": {"lora": {"type": "LoRA", "train_data_config": "train", "target_modules": ("q", "k")}},
    "output_dir": "out",
}


@pytest.fixture
def given(tmp_path: Path, registry: Registry) -> Set:
    """Load FILE, or another text, with settings as they follow --set."""

    def load(*settings: str, text: str = FILE) -> WorkflowDraft:
        file = tmp_path / "w.yaml"
        file.write_text(text, encoding="utf-8")
        return load_workflow(Given(file, settings=tuple(map(Setting.parse, settings))), registry)

    return load


def lora(draft: WorkflowDraft) -> Any:
    draft.problems.raise_if_any()
    choice = draft.passes[0]
    assert isinstance(choice, PassChoice)
    return choice.options


def only(draft: WorkflowDraft) -> str:
    (problem,) = draft.problems
    return str(problem)


def test_a_setting_counts_more_than_the_file(given) -> None:
    assert lora(given("passes.lora.r=16")).r == 16
    assert lora(given("passes.lora.r=16", "passes.lora.r=4")).r == 4


def test_a_setting_may_stand_where_the_file_has_nothing(given) -> None:
    options = lora(given("passes.lora.training_args.max_steps=5", "passes.lora.alpha=1"))
    assert (options.training_args.max_steps, options.alpha) == (5, 1)
    assert given("seed=7").seed == 7


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("[q, v]", ["q", "v"]),
        ("all-linear", "all-linear"),
        ("'8'", "8"),
        ("no", "no"),
        ("### {phrase} # {tone}", "### {phrase} # {tone}"),
        ("a=b", "a=b"),
        ("", None),
        ("1e-4", 1e-4),
        ("{a: 1}", {"a": 1}),
    ],
)
def test_a_value_is_read_as_yaml_without_comments(value: str, read: object) -> None:
    assert Setting.parse(f"a.b={value}").node.plain() == read


def test_items_of_lists_are_found_by_name_or_number(given) -> None:
    draft = given(
        "data_configs.train.load_dataset_config.data_name=csv",
        "evaluators.quality.metrics.ppl.batch_size=4",
        "evaluators.quality.metrics.0.data_config=train",
        "passes.lora.target_modules.1=v",
    )
    assert lora(draft).target_modules == ["q", "v"]
    assert draft.data["train"].options.load_dataset_config.data_name == "csv"
    assert draft.evaluators["quality"][0].options.batch_size == 4


def test_a_pass_may_be_given_whole(given) -> None:
    assert [p.name for p in given("passes.build={type: ModelBuilder, precision: int4}").passes][-1] == "build"


def test_a_setting_may_use_the_names_of_the_file_or_todays(given) -> None:
    old = FILE.replace(
        "type: LoRA, train_data_config: train, r: 8",
        "type: LoRA, config: {lora_r: 8, train_data_config: train}",
    )
    old = old.replace(", target_modules: [q, k]", "")
    assert lora(given("passes.lora.config.lora_r=4", text=old)).r == 4
    assert lora(given("passes.lora.r=4", text=old)).r == 4


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("passes.lora.rr=8", "--set passes.lora.rr: lora: LoRA has no option 'rr'. Did you mean 'r'?"),
        ("passes.lora.r=many", "--set passes.lora.r: lora: 'r' has to be a whole number, not text 'many'"),
        ("passes.lroa.r=8", "--set passes.lroa.r: There is no pass named 'lroa'. Did you mean 'lora'?"),
        ("pases.lora.r=8", "--set pases.lora.r: "),
        ("evaluators.quality.metrics.pl.batch_size=1", "--set evaluators.quality.metrics.pl.batch_size: "),
        ("passes.lora.r.x=1", "--set passes.lora.r.x: 'passes.lora.r' is the number 8"),
        ("data_configs.trian.task=x", "There is no data config named 'trian'. Did you mean 'train'?"),
        (
            "evaluator=qualty",
            "--set evaluator: There is no evaluator named 'qualty'. Did you mean 'quality'?",
        ),
    ],
)
def test_a_wrong_setting_is_told_with_the_flag_and_the_nearest_name(given, setting: str, told: str) -> None:
    assert told in only(given(setting))


def test_a_setting_that_is_none_is_refused() -> None:
    for text in ("passes.lora.r", "=8", "passes..r=8", ""):
        with pytest.raises(UserError, match="takes PATH=VALUE"):
            Setting.parse(text)
    with pytest.raises(WorkflowError, match=r"--set a: The value '\[1' is not YAML"):
        Setting.parse("a=[1")


def test_settings_are_remembered_but_no_value_that_may_be_secret(given) -> None:
    draft = given("passes.lora.r=4", "passes.lora.target_modules=[q]")
    assert draft.settings == ("passes.lora.r=4", 'passes.lora.target_modules=["q"]')
    assert Setting.parse("systems.s.environment_variables.KEY=hush").told.endswith("KEY=…")
    assert "hush" not in Setting.parse("systems.s={environment_variables: {KEY: hush}}").told


def test_values_from_python_are_a_workflow_in_the_current_folder(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draft = load_workflow(Given(values=VALUES, settings=(Setting.of("passes.lora.r", 2),)), registry)
    assert (lora(draft).r, lora(draft).target_modules) == (2, ["q", "k"])
    assert (draft.path, draft.folder, draft.workflow_id) == (None, tmp_path, "workflow")
    assert draft.output_dir == tmp_path / "out"
    assert "r" not in VALUES["passes"]["lora"]


def test_a_fault_in_values_from_python_is_told_with_its_path(registry: Registry) -> None:
    wrong = {**VALUES, "passes": {"lora": {**VALUES["passes"]["lora"], "rr": 8}}}
    assert only(load_workflow(Given(values=wrong), registry)).startswith("passes.lora.rr: lora: LoRA has no")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            {"passes": {"a": {"r": object()}}},
            "'passes.a.r' is of type object; a workflow has plain",
        ),
        ({"passes": {1: {}}}, "A key is 1, and has to be text"),
    ],
)
def test_what_no_file_could_hold_is_refused(registry: Registry, values: dict[str, Any], told: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        load_workflow(Given(values=values), registry)
    assert told in str(caught.value)


def test_values_that_hold_themselves_are_refused(registry: Registry) -> None:
    values: dict[str, Any] = {}
    values["passes"] = values
    with pytest.raises(UserError, match="hold itself"):
        load_workflow(Given(values=values), registry)
