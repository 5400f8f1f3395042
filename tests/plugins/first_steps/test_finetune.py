"""`modelpress finetune`: a file of data and a model in; an adapter, a model and their workflow out."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
import yaml

from modelpress.errors import UserError, WorkflowError
from modelpress.registry import Registry
from modelpress_plugins.first_steps.compose import Data, find_method, judged, tuning

TEMPLATE = "### Text: {phrase}\n### The tone is:\n{tone}"


@pytest.fixture(scope="module")
def few_rows(emotions_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "rows.json"
    path.write_text(json.dumps(json.loads(emotions_data.read_text())[:24]))
    return path


def test_rows_with_an_answer_are_learnt_by_their_answers() -> None:
    (train, held_out) = Data(file=Path("rows.json"), text_template="{q} {a}").sections()
    assert train["pre_process_data_config"] == {"text_template": "{q} {a}", "completion_only": True}
    assert (train["holdout"], held_out["holdout"]) == (
        {"part": "train", "share": 0.1}, {"part": "eval", "share": 0.1},
    )  # fmt: skip
    plain = Data(file=Path("rows.txt"), max_seq_len=64).sections()[0]
    assert plain["pre_process_data_config"] == {"max_seq_len": 64}
    whole = Data(file=Path("rows.json"), text_template="{q} {a}", whole_text=True).sections()[0]
    assert whole["pre_process_data_config"]["completion_only"] is False


def test_what_is_held_out_is_measured_as_far_as_it_can_be() -> None:
    def names(**facts: object) -> list[object]:
        return [metric["type"] for metric in Data(file=Path("rows.json"), **facts).metrics()]

    assert names(text_template="{q} {a}") == ["perplexity", "accuracy"]
    assert names(chat=True) == names() == ["perplexity"]
    assert names(held_out=0.0) == []
    assert (
        Data(file=Path("a.json"), held_out=Path("b.json"))
        .sections()[1]["load_dataset_config"]["data_files"]
        .endswith("b.json")
    )
    assert judged([], compared=True) == {}


def test_a_conversation_by_a_template_is_refused() -> None:
    with pytest.raises(UserError, match="not both"):
        Data(file=Path("rows.json"), text_template="{q}", chat=True).sections()


def test_only_what_is_said_stands_in_the_passes() -> None:
    assert tuning("LoRA", {"r": None, "alpha": 8}, {"max_steps": None}, merge=False) == {
        "finetune": {"type": "LoRA", "train_data_config": "train", "alpha": 8}
    }


def test_a_method_is_found_in_any_case_and_misspelt_ones_are_told() -> None:
    registry = Registry.load()
    assert find_method(registry, "qlora") == "QLoRA"
    with pytest.raises(UserError) as error:
        find_method(registry, "lorra")
    assert "LoRA" in error.value.hint


def test_a_build_needs_a_merged_model(invoke, emotions_model: Path, few_rows: Path) -> None:
    with pytest.raises(click.UsageError, match="merged"):
        invoke("finetune", str(emotions_model), "--data", str(few_rows), "--no-merge", "--build", "int4",
               "-o", "x")  # fmt: skip


def test_a_column_that_is_not_there_is_told_before_any_work(
    invoke, emotions_model: Path, few_rows: Path, tmp_path: Path
) -> None:
    with pytest.raises(WorkflowError, match="phrases"):
        invoke(
            "finetune", str(emotions_model), "--data", str(few_rows), "-o", str(tmp_path / "out"),
            "--text-template", "{phrases} {tone}",
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_it_leaves_adapter_model_and_the_workflow_that_makes_them_again(
    invoke, emotions_model: Path, few_rows: Path, tmp_path: Path
) -> None:
    out, cache = tmp_path / "out", str(tmp_path / "cache")
    done = invoke(
        "finetune", str(emotions_model), "--data", str(few_rows), "--text-template", TEMPLATE, "--r", "4",
        "--max-steps", "2", "--batch-size", "4", "--holdout", "0.2", "-o", str(out), "--cache-dir", cache,
        "--set", "passes.finetune.training_args.logging_steps=1",
    )  # fmt: skip
    assert "before: " in done.stdout
    assert (out / "model" / "config.json").is_file()
    assert (out / "adapter" / "adapter_model.safetensors").is_file()
    written = yaml.safe_load((out / "workflow.yaml").read_text())
    assert written["passes"]["finetune"]["training_args"]["logging_steps"] == 1
    assert written["input_model"]["model_path"] == str(emotions_model)
    again = invoke("run", str(out / "workflow.yaml"), "--cache-dir", cache)
    assert again.stdout.count("in the cache") == 6  # both passes, and two numbers of each model
    model = out / "reproduced" / "model" / "model.safetensors"
    assert model.read_bytes() == (out / "model" / "model.safetensors").read_bytes()
