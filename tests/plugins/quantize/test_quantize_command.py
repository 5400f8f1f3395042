"""`quantize`: options made from a pass's schema, and the workflow that they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import click
import pytest
from pydantic import Field

from modelpress.api import DataRole, Options, Problem, UserError, WorkflowError, option_facts, takes
from modelpress.config.given import Given
from modelpress.errors import Location
from modelpress_plugins.quantize import command as quantize


class Demo(Options):
    """Options of every kind."""

    bits: Literal[2, 4, 8] = Field(default=4, description="Bits of a weight.")
    group_size: int = Field(default=32, ge=16, le=256, description="Weights that share a scale.")
    damp: float = 0.01
    sym: bool = False
    method: Literal["fast", "exact"] = "fast"
    skip: list[str] = Field(default_factory=list)
    limit: int | str | None = None
    name: str
    data_config: Annotated[str | None, DataRole("calibration")] = None


def facts() -> dict[str, Any]:
    return {fact.name: fact for fact in option_facts(Demo.model_json_schema())}


def test_facts_are_read_from_the_schema() -> None:
    found = facts()
    assert {name: takes(fact) for name, fact in found.items()} == {
        "bits": "2 | 4 | 8", "group_size": "integer", "damp": "number", "sym": "boolean",
        "method": "fast | exact", "skip": "array", "limit": "integer or string or null", "name": "string",
        "data_config": "string or null",
    }  # fmt: skip
    assert found["group_size"].limits == "≥ 16, ≤ 256"
    assert found["name"].required
    assert found["bits"].default == "4"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("bits", "4", 4), ("group_size", "64", 64), ("damp", "0.5", 0.5), ("method", "exact", "exact"),
        ("skip", '["lm_head"]', ["lm_head"]), ("limit", "5GB", "5GB"), ("limit", "5", 5), ("name", "4", "4"),
    ],
)  # fmt: skip
def test_a_word_becomes_a_value_of_the_schemas_type(name: str, text: str, value: object) -> None:
    assert quantize.convert(text, facts()[name]) == value


@pytest.mark.parametrize(("name", "text"), [("bits", "5"), ("group_size", "many"), ("method", "slow")])
def test_a_word_that_does_not_fit_is_refused(name: str, text: str) -> None:
    with pytest.raises(click.BadParameter, match=repr(text)):
        quantize.convert(text, facts()[name])


def test_options_that_name_data_are_left_to_the_option_data() -> None:
    names = [option.opts[0] for option in quantize.options_of(Demo)]
    assert "--group-size" in names
    assert "--data-config" not in names


def test_a_switch_that_is_not_given_says_nothing() -> None:
    seen: dict[str, object] = {}
    command = click.Command(
        "x", params=quantize.options_of(Demo), callback=lambda **given: seen.update(given)
    )
    command.main(["--name", "n", "--no-sym"], standalone_mode=False)
    given = {name.removeprefix("pass_option_"): v for name, v in seen.items() if v is not None}
    assert given == {"name": "n", "sym": False}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Do not run: keep the workflow that would be."""
    seen: dict[str, Any] = {}

    def keep(given: Given, **options: Any) -> None:
        seen.update(options, workflow=given.values)
        if "fail" in seen:
            raise WorkflowError([Problem("it is wrong", where=Location("passes.hqq.bits"))])

    monkeypatch.setattr("modelpress.cli.execute.execute", keep)
    return seen


def test_the_command_line_is_a_workflow_of_one_pass(invoke, run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "phi3").mkdir()
    invoke("quantize", "phi3", "--algorithm", "hqq", "--bits", "4", "-o", "out", "--offline")
    assert run["workflow"] == {
        "input_model": {"type": "HfModel", "model_path": str(tmp_path / "phi3")},
        "passes": {"hqq": {"type": "Hqq", "bits": 4}},
    }
    assert run["output_dir"] == Path("out")
    assert run["offline"]


@pytest.mark.parametrize("words", [("--algorithm", "hqq"), ("--algorithm=hqq",), ("-a", "hqq"), ("-ahqq",)])
def test_the_algorithm_may_be_written_in_every_way(words: tuple[str, ...], invoke, run) -> None:
    invoke("quantize", "m", *words, "--bits", "8", "-o", "out")
    assert run["workflow"]["passes"] == {"hqq": {"type": "Hqq", "bits": 8}}


def test_the_id_of_a_model_on_the_hub_stays_an_id(invoke, run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    invoke("quantize", "org/name", "--algorithm=RTN", "-o", "out", "--trust-remote-code")
    model = run["workflow"]["input_model"]
    assert model == {"type": "HfModel", "model_path": "org/name", "load_kwargs": {"trust_remote_code": True}}
    assert run["workflow"]["passes"] == {"rtn": {"type": "Rtn"}}


def test_an_option_of_the_pass_that_is_called_as_the_commands_own(invoke, run, tmp_path: Path) -> None:
    data = tmp_path / "d.json"
    words = ("quantize", "m", "-a", "SelectiveMixedPrecision", "--pass-algorithm", "snr", "--max-size", "9MB")
    invoke(*words, "-o", "out", "--data", str(data))
    marks, follows = run["workflow"]["passes"].values()
    assert (marks["type"], marks["algorithm"]) == ("SelectiveMixedPrecision", "snr")
    assert follows == {"type": "Gptq", "data_config": marks["data_config"]}


def test_a_quantizer_follows_what_only_marks_with_the_options_of_both(invoke, run) -> None:
    words = ("quantize", "m", "-a", "SelectiveMixedPrecision", "--group-size", "32", "--max-size", "9MB")
    invoke(*words, "--quantizer", "rtn", "-o", "out")
    assert run["workflow"]["passes"]["rtn"] == {"type": "Rtn", "group_size": 32}
    with pytest.raises(UserError, match="QuaRot cannot follow"):
        invoke(*words, "--quantizer", "quarot", "-o", "out")


def test_calibration_data_becomes_a_data_config(invoke, run, tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    invoke("quantize", "m", "-a", "gptq", "-o", "out", "--data", str(data), "--text-template", "{q} {a}")
    (config,) = run["workflow"]["data_configs"]
    assert config["load_dataset_config"]["data_files"] == str(data)
    assert config["load_dataset_config"]["data_name"] == "json"
    assert config["pre_process_data_config"] == {"text_template": "{q} {a}"}
    assert config["name"] in run["workflow"]["passes"]["gptq"].values()


def test_an_algorithm_that_calibrates_may_do_so_on_the_text_of_the_package(invoke, run) -> None:
    invoke("quantize", "m", "-a", "gptq", "-o", "out")
    assert run["workflow"]["passes"] == {"gptq": {"type": "Gptq"}}


def test_paths_of_a_workflow_that_nobody_wrote_are_not_told(invoke, run) -> None:
    run["fail"] = True
    with pytest.raises(WorkflowError) as caught:
        invoke("quantize", "m", "-a", "hqq", "-o", "out")
    assert caught.value.problems[0].where is None


def test_help_lists_the_algorithms_and_the_options_of_one(invoke) -> None:
    assert "hqq" in invoke("quantize", "--help").output
    output = invoke("quantize", "--algorithm", "hqq", "--help").output
    assert "Options of Hqq" in output
    assert "--bits [2|4|8]" in output
