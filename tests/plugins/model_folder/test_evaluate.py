"""`evaluate` measures a model without a workflow, whatever its format, and copies nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import click
import pytest
from click.testing import Result

from modelpress.errors import UserError, WorkflowError
from modelpress.testing import ModelContract, make_tiny_model

Invoke = Callable[..., Result]
SIZE = ("-m", "size_on_disk", "--json")


class TestModelFolder(ModelContract):
    model_name = "ModelFolder"

    def make_options(self, folder: Path) -> Mapping[str, str]:
        return {"model_path": str(make_tiny_model(folder))}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("evaluate") / "model")


@pytest.fixture
def pressed(model: Path, tmp_path: Path, invoke: Invoke) -> Path:
    """The output folder of a run."""
    invoke("quantize", str(model), "-a", "rtn", "-o", str(tmp_path / "out"))
    return tmp_path / "out"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELPRESS_CACHE", str(tmp_path / "cache"))


def measured(result: Result) -> dict[str, float]:
    record: dict[str, dict[str, float]] = json.loads(result.stdout)
    return record["metrics"]


def test_a_model_folder_is_measured(model: Path, invoke: Invoke) -> None:
    told = measured(invoke("evaluate", str(model), *SIZE))
    assert told == {"size_on_disk": sum(file.stat().st_size for file in model.iterdir())}


def test_what_a_run_gave_is_measured_where_it_lies(pressed: Path, model: Path, invoke: Invoke) -> None:
    before = sorted(pressed.rglob("*"))
    told = measured(invoke("evaluate", str(pressed), *SIZE))
    assert told["size_on_disk"] < measured(invoke("evaluate", str(model), *SIZE))["size_on_disk"]
    assert sorted(pressed.rglob("*")) == before
    assert told == measured(invoke("evaluate", str(pressed / "model"), *SIZE))


def test_text_and_answers_are_measured_by_default(
    model: Path, rows: Callable[..., Path], invoke: Invoke
) -> None:
    data = rows("test.jsonl", [{"q": "one", "a": "two"}, {"q": "three", "a": "four"}, {"q": "5", "a": "6"}])
    quick = ("--set", "latency.repeat_test_num=2", "--set", "throughput.repeat_test_num=2")
    text = ("--data", str(data), "--text-template", "{q} {a}", "--max-samples", "2")
    told = measured(
        invoke("evaluate", str(model), *text, *quick, "--set", "accuracy.max_new_tokens=2", "--json")
    )
    assert set(told) == {
        "accuracy", "perplexity", "size_on_disk", "latency_p50_ms", "latency_first_token_p50_ms",
        "throughput_p50", "throughput_prompt_p50",
    }  # fmt: skip
    assert told["perplexity"] > 1


def test_a_second_time_it_is_in_the_cache(model: Path, invoke: Invoke) -> None:
    invoke("evaluate", str(model), "-m", "size_on_disk")
    assert "in the cache" in invoke("evaluate", str(model), "-m", "size_on_disk").stdout


def test_metrics_are_found_in_any_case(model: Path, invoke: Invoke) -> None:
    assert measured(
        invoke(
            "evaluate", str(model), "-m", "Size_On_Disk", "--set", "SIZE_ON_DISK.include_base=true", "--json"
        )
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("-m", "acuracy"), "accuracy"),
        (("-m", "accuracy"), "--data"),
        (("--data", "data.xlsx"), "no known kind"),
    ],
)
def test_what_cannot_be_measured_is_told(
    model: Path, invoke: Invoke, arguments: tuple[str, ...], told: str
) -> None:
    with pytest.raises(UserError) as error:
        invoke("evaluate", str(model), *arguments)
    assert told in f"{error.value.message} {error.value.hint}"


@pytest.mark.parametrize("setting", ["nonsense", "latency.warmup_num", "accuracy.batch_size=2"])
def test_a_setting_has_to_be_of_a_metric_that_is_measured(model: Path, invoke: Invoke, setting: str) -> None:
    with pytest.raises(click.BadParameter):
        invoke("evaluate", str(model), "-m", "latency", "--set", setting)


def test_an_option_that_a_metric_does_not_have_is_told_without_a_line(model: Path, invoke: Invoke) -> None:
    with pytest.raises(WorkflowError) as error:
        invoke("evaluate", str(model), "-m", "latency", "--set", "latency.warmup=0")
    (problem,) = error.value.problems
    assert "warmup_num" in problem.hint
    assert problem.where is None


def test_a_machine_without_the_device_measures_nothing_and_says_so(model: Path, invoke: Invoke) -> None:
    with pytest.raises(UserError, match="Nothing was measured"):
        invoke("evaluate", str(model), "-m", "latency", "--device", "npu")


def test_a_folder_without_a_model_says_what_was_looked_for(tmp_path: Path, invoke: Invoke) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(WorkflowError) as error:
        invoke("evaluate", str(tmp_path / "empty"))
    assert "config.json" in str(error.value.problems[0])
    assert "genai_config.json" in str(error.value.problems[0])
