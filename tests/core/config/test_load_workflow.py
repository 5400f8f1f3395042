"""Loading a workflow tells every problem at once, in a user's words, with file, line and nearest name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelpress.config.load import load_workflow
from modelpress.config.workflow import PassChoice, Unfit, WorkflowDraft
from modelpress.errors import WorkflowError
from modelpress.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import FakeSite

    Load = Callable[..., WorkflowDraft]

GOOD = """\
workflow_id: demo
input_model:
  type: HfModel
  model_path: model
data_configs:
- name: train
  type: HuggingfaceContainer
  load_dataset_config:
    data_name: json
evaluators:
  quality:
    metrics:
    - name: ppl
      type: perplexity
      data_config: train
passes:
  lora:
    type: LoRA
    train_data_config: train
    r: 8
  merge:
    type: MergeAdapterWeights
    output_name: merged
  build:
    type: ModelBuilder
    precision: int4
    evaluator: quality
evaluator: quality
output_dir: ../out
seed: 3
"""


def problems(workflow: WorkflowDraft) -> list[tuple[int, str]]:
    return [(p.where.line if p.where else 0, f"{p.message} {p.hint}".strip()) for p in workflow.problems]


def only(workflow: WorkflowDraft) -> tuple[int, str]:
    (found,) = problems(workflow)
    return found


def test_a_good_workflow_is_loaded_whole(load: Load, tmp_path: Path) -> None:
    workflow = load(GOOD).whole()
    assert workflow.folder == tmp_path
    assert workflow.output_dir == tmp_path.parent / "out"
    assert (workflow.workflow_id, workflow.seed, workflow.host) == ("demo", 3, "local")
    lora, merge, build = workflow.passes
    assert lora.data == {"train": "train"}
    assert lora.options.canonical()["r"] == 8
    assert lora.options.canonical()["alpha"] == 16
    assert merge.output_name == "merged"
    (metric,) = build.metrics
    assert (metric,) == workflow.evaluators["quality"] == workflow.metrics
    assert merge.metrics == ()
    assert (metric.name, metric.data) == ("ppl", {"data": "train"})
    assert workflow.locate(metric.path).line == 13
    assert workflow.locate("data_configs.train.load_dataset_config.data_name").line == 9


def test_the_nearest_known_place_is_given_for_what_the_file_does_not_have(load: Load) -> None:
    workflow = load(GOOD)
    assert workflow.locate("passes.lora.training_args.max_steps").line == 17
    assert workflow.locate("nothing.at.all").line == 0


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("seed: 3", "sede: 3", 30, "A workflow has no key 'sede'. Did you mean 'seed'?"),
        ("type: LoRA", "type: Lorra", 18, "There is no pass of type 'Lorra'. Did you mean 'LoRA'?"),
        ("type: HfModel", "type: HfModle", 3, "There is no model of type 'HfModle'. Did you mean 'HfModel'?"),
        ("    r: 8", "    rr: 8", 20, "LoRA has no option 'rr'. Did you mean 'r'?"),
        ("    r: 8", "    lora_rr: 8", 20, "LoRA has no option 'lora_rr'. Did you mean 'r'?"),
        ("    r: 8", "    hosst: x", 20, "LoRA has no option 'hosst'. Did you mean 'host'?"),
        ("    r: 8", "    r: '8'", 20, "'r' has to be a whole number, not text '8'."),
        ("    r: 8", "    r: 8.5", 20, "'r' has to be a whole number, not the number 8.5."),
        ("    r: 8", "    r: true", 20, "'r' has to be a whole number, not true."),
        ("    r: 8", "    r: 0", 20, "'r' has to be at least 1, not the number 0."),
        ("    r: 8", "    r:", 20, "'r' has to be a whole number, not empty (null)."),
        (
            "    r: 8",
            "    target_modules: 1",
            20,
            "'target_modules' has to be a list or text, not the number 1.",
        ),
        ("    r: 8", "    target_modules: [1]", 20, "'target_modules.0' has to be text, not the number 1."),
        (
            "    r: 8",
            "    training_args: {learning_rat: 1}",
            20,
            "LoRA has no option 'training_args.learning_rat'. Did you mean 'learning_rate'?",
        ),
        (
            "int4",
            "int5",
            26,
            "'precision' has to be one of 'fp32', 'int4' or 'int8', not text 'int5'. Did you mean 'int8'?",
        ),
        ("    precision: int4\n", "", 24, "ModelBuilder needs 'precision'."),
        (
            "    precision",
            "    precison",
            26,
            "ModelBuilder has no option 'precison'. Did you mean 'precision'?",
        ),
        (
            "train_data_config: train",
            "train_data_config: trian",
            19,
            "There is no data config named 'trian'. Did you mean 'train'?",
        ),
        ("data_config: train\np", "data_config: trian\np", 15, "Did you mean 'train'?"),
        (
            "evaluator: quality\no",
            "evaluator: qualty\no",
            28,
            "no evaluator named 'qualty'. Did you mean 'quality'?",
        ),
        ("    r: 8", "    host: gpu_box", 20, "There is no system named 'gpu_box'. There are: local."),
        ("output_name: merged", "output_name: ../x", 23, "has to be the name of a folder, without a path"),
        ("seed: 3", "seed: -1", 30, "'seed' has to be at least 0, not the number -1."),
        ("- name: train", "- names: train", 6, "Each of data_configs needs a name."),
        (
            "data_name: json",
            "data_nam: json",
            9,
            "no option 'load_dataset_config.data_nam'. Did you mean 'data_name'?",
        ),
        (
            "data_name: json",
            "data_name: [json]",
            9,
            "'load_dataset_config.data_name' has to be text, not a list.",
        ),
        ("workflow_id: demo", "workflow_id: [demo]", 1, "'workflow_id' has to be text, not a list."),
        ("    type: MergeAdapterWeights\n", "", 21, "A workflow needs 'passes.merge.type'."),
    ],
)
def test_a_fault_is_told_with_its_line(load: Load, old: str, new: str, line: int, message: str) -> None:
    assert old in GOOD
    found = problems(load(GOOD.replace(old, new, 1)))
    assert any(message in text and at == line for at, text in found), found


def test_one_fault_is_told_once(load: Load) -> None:
    only(load(GOOD.replace("precision:", "precison:")))
    only(load(GOOD.replace("input_model:", "input_modle:")))
    only(load(GOOD.replace("train_data_config: train", "train_data_config: trian")))


def test_all_faults_are_told_at_once_in_the_order_of_the_file(load: Load, tmp_path: Path) -> None:
    text = GOOD.replace("type: LoRA", "type: Lorra").replace("int4", "int5").replace("seed", "sede")
    text = text.replace("data_name", "data_nam")
    workflow = load(text)
    assert len(workflow.problems) == 4
    with pytest.raises(WorkflowError) as caught:
        workflow.problems.raise_if_any()
    assert [p.where.line for p in caught.value.problems if p.where] == [9, 18, 26, 30]
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith(f"{tmp_path / 'w.yaml'}:9: train: HuggingfaceContainer has no option")


def test_data_names_are_checked_even_where_other_options_are_wrong(load: Load) -> None:
    text = GOOD.replace("train_data_config: train", "train_data_config: trian").replace("r: 8", "r: x")
    assert len(load(text).problems) == 2


def test_a_wrong_pass_keeps_its_place_among_the_others(load: Load) -> None:
    workflow = load(GOOD.replace("type: LoRA", "type: Lorra").replace("int4", "int5"))
    lora, merge, build = workflow.passes
    assert lora == Unfit("lora", "Lorra", "passes.lora")
    assert isinstance(merge, PassChoice)
    assert build == Unfit("build", "ModelBuilder", "passes.build", ("hf-model",), "ort-genai")
    with pytest.raises(WorkflowError):
        workflow.whole()


def test_a_wrong_model_or_data_config_is_told_and_left_out(load: Load) -> None:
    workflow = load(GOOD.replace("model_path:", "model_paht:").replace("data_name:", "data_nmae:"))
    assert workflow.input_model == Unfit("input_model", "HfModel", "input_model", (), "hf-model")
    assert workflow.data == {}
    assert len(workflow.problems) == 2


def test_the_last_pass_is_measured_by_the_workflows_evaluator_unless_it_has_its_own(load: Load) -> None:
    own = load(GOOD).whole()
    assert [len(step.metrics) for step in own.passes] == [0, 0, 1]
    workflows = load(GOOD.replace("    evaluator: quality\n", "")).whole()
    assert [step.metrics for step in workflows.passes] == [(), (), workflows.metrics]


def test_a_name_of_no_system_or_evaluator_is_told_at_its_place(load: Load) -> None:
    workflow = load(GOOD.replace("    evaluator: quality", "    evaluator: qualty\n    host: nowhere"))
    texts = [text for _, text in problems(workflow)]
    assert any("no evaluator named 'qualty'" in text and "'quality'" in text for text in texts)
    assert any("no system named 'nowhere'" in text for text in texts)


def test_secrets_are_not_echoed(load: Load) -> None:
    workflow = load(GOOD.replace("data_name: json", "token: [hf_abcdef]"))
    assert "hf_abcdef" not in str(problems(workflow))
    workflow = load(GOOD.replace("data_name: json", "token: 123456"))
    assert only(workflow)[1] == "'load_dataset_config.token' has to be text, not a number."


def test_data_configs_may_be_a_mapping(load: Load) -> None:
    text = GOOD.replace("- name: train\n  type", "  train:\n    type").replace(
        "  load_dataset_config:\n    data_name", "    load_dataset_config:\n      data_name"
    )
    workflow = load(text)
    assert not list(workflow.problems)
    assert list(workflow.data) == ["train"]


def test_two_data_configs_of_one_name_are_a_problem(load: Load) -> None:
    text = GOOD.replace("evaluators:", "- {name: train, type: HuggingfaceContainer}\nevaluators:")
    assert "two named 'train'" in only(load(text))[1]


def test_nothing_to_do_is_a_problem(load: Load) -> None:
    assert "nothing to do" in only(load("input_model: {type: HfModel, model_path: m}\n"))[1]


def test_a_missing_input_model_is_a_problem(load: Load) -> None:
    assert "A workflow needs 'input_model'" in only(load("passes: {m: {type: MergeAdapterWeights}}\n"))[1]


@pytest.mark.parametrize(
    "text",
    [
        "input_model: 3\npasses: []\nsystems: 3\nevaluators: x\ndata_configs: 1\nengine: 3\nhost: 3\n",
        "seed: x\n",
        "input_model: []\npasses: [1]\ndata_configs: [1, {name: 2}]\nevaluators: [{metrics: 3}, {name: a}]\n",
        "input_model:\npasses:\ndata_configs:\nsystems:\nevaluators:\nengine:\n",
        "input_model: {type: HfModel, config: 3, hf_config: []}\npasses: {a: 3, b: null, c: {type: 3}}\n",
        "input_model: {type: PyTorchModel, config: {hf_config: {model_name: 3, dataset: 3}}}\n",
        "data_configs: [{name: d, type: HuggingfaceContainer, params_config: 3, components: {a: 1}}]\n",
        "data_configs: [{name: d, type: HuggingfaceContainer, load_dataset_config: 3}]\ndata_root: [1]\n",
        "data_configs: [{name: d, type: HuggingfaceContainer, params_config: {component_kwargs: 3, a: 1}}]\n",
        "systems: {a: {type: LocalSystem, accelerators: 3}, b: {type: LocalSystem, accelerators: [1, {}]}}\n",
        "execution_providers: 3\nazureml_client: 3\npass_flows: 3\nsearch_strategy: [1]\n",
        "execution_providers: [1, x]\nsystems: [1]\nhost: {a: 1}\nevaluator: {metrics: [{}]}\n",
        "evaluators: {e: {metrics: [{type: x, sub_types: [1, {metric_config: 3}]}, 3, {sub_types: 1}]}}\n",
        "passes: {a: {type: LoRA, config: {training_args: 3}, lora_r: {a: 1}}}\n",
    ],
)
def test_values_of_any_wrong_shape_are_told_and_never_crash(load: Load, text: str) -> None:
    with pytest.raises(WorkflowError):
        load(text).problems.raise_if_any()


def test_a_plugin_whose_options_cannot_be_imported_is_told_at_its_step(
    site: FakeSite, registry: Registry, tmp_path: Path
) -> None:
    code = """
        @hookimpl
        def modelpress_passes():
            return [PassSpec(name=n, summary="", accepts=("hf-model",), produces="same", run="m:r", config=c)
                    for n, c in (("A", "PACKAGE.lacking:C"), ("B", "PACKAGE.broken:C"), ("C", "PACKAGE:C"),
                                 ("D", "PACKAGE.nowhere:C"), ("E", "PACKAGE:hookimpl"))]
    """
    files = {"lacking.py": "import no_such_library", "broken.py": "1 / 0"}
    site.install("vendor", code, files=files)
    path = tmp_path / "w.yaml"
    passes = "".join(f"  p{n}: {{type: {n}}}\n" for n in "ABCDE")
    path.write_text(f"input_model: {{type: HfModel, model_path: m}}\npasses:\n{passes}")
    found = {p.step: p for p in load_workflow(path, site.registry()).problems}
    assert set(found) == {"pA", "pB", "pC", "pD", "pE"}
    assert found["pA"].kind == "dependency"
    assert "'no_such_library'" in found["pA"].message
    assert "ZeroDivisionError" in found["pB"].message
    assert found["pB"].where is not None
    assert found["pB"].where.line == 4
    assert "is no subclass of modelpress.api.Options" in found["pE"].message


def test_broken_plugins_are_mentioned_where_a_type_is_not_found(
    site: FakeSite, registry: Registry, tmp_path: Path
) -> None:
    site.install("vendor", "import no_such_library")
    path = tmp_path / "w.yaml"
    path.write_text("input_model: {type: HfModel, model_path: m}\npasses: {a: {type: VendorPass}}\n")
    (problem,) = load_workflow(path, site.registry()).problems
    assert "vendor: ModuleNotFoundError" in problem.hint
