"""`modelpress optimize` composes a search of what is installed, and leaves the best with its workflow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from modelpress.artifact import MANIFEST, digest_file
from modelpress.errors import UserError
from modelpress.registry import Registry
from modelpress.testing import make_tiny_model
from modelpress_plugins.optimize.command import metrics
from modelpress_plugins.optimize.compose import compose

TEMPLATE = "### Text: {phrase}\n### The tone is:\n{tone}"


def test_what_is_composed_comes_from_what_the_passes_say() -> None:
    composed = compose(Registry.load(), "hf-model", "cpu", build=False)
    kinds = [section["type"] for section in composed.passes["press"]]
    assert {"Rtn", "Hqq", "KQuant", "Awq", "Gptq"} <= set(kinds)
    rtn = next(section for section in composed.passes["press"] if section["type"] == "Rtn")
    assert rtn["group_size"] == rtn["sym"] == "SEARCHABLE_VALUES"
    assert rtn["bits"] == {"choice": [4, 8], "when": {"pass_flows": ["press"]}}, "marks say theirs"
    gptq = next(section for section in composed.passes["press"] if section["type"] == "Gptq")
    assert gptq["data_config"] == "data"
    assert composed.flows == [["mixed", "press"], ["press"]]
    assert [section["type"] for section in composed.passes["mixed"]] == ["SelectiveMixedPrecision"]


def test_what_is_built_is_tried_of_what_was_pressed_and_of_the_model_as_it_is() -> None:
    composed = compose(Registry.load(), "hf-model", "cpu")
    assert composed.flows == [["mixed", "press", "build"], ["press", "build"], ["build"]]
    cases = composed.passes["build"]["precision"]["cases"]
    assert [case["choice"] for case in cases] == [
        ["int4"],
        ["int8"],
        ["int4"],
        ["int4", "int8", "fp16", "fp32"],
    ]


def test_passes_on_graphs_are_tried_on_graphs() -> None:
    composed = compose(Registry.load(), "onnx", "cpu")
    kinds = {section["type"] for section in composed.passes["press"]}
    assert {"OnnxFloatToFloat16", "OnnxDynamicQuantization", "OnnxBlockWiseRtnQuantization"} <= kinds
    assert composed.flows == [["press"]]


def test_limits_are_goals() -> None:
    found = {metric["type"]: metric["sub_types"][0] for metric in metrics("hf-model", "2KB", 30, 0.8)}
    assert found["size_on_disk"]["goal"] == {"type": "threshold", "value": 2000}
    assert found["accuracy"]["goal"]["value"] == 0.8
    assert found["latency"] == {"name": "latency_p50_ms", "goal": {"type": "threshold", "value": 30}}
    assert "goal" not in metrics("hf-model", None, None, None)[0]["sub_types"][0]
    assert metrics("onnx", None, None, None)[1]["type"] == "discrepancy"


def test_accuracy_needs_to_know_the_answer(invoke, emotions_model: Path, emotions_data: Path) -> None:
    with pytest.raises(UserError, match="where a row's answer begins"):
        invoke(
            "optimize", str(emotions_model), "--data", str(emotions_data), "--min-accuracy", "0.5", "-o", "x"
        )


def test_a_language_model_needs_text(invoke, emotions_model: Path) -> None:
    with pytest.raises(UserError, match="compared by what it expects of text"):
        invoke("optimize", str(emotions_model), "-o", "x")


def files(folder: Path) -> dict[str, str]:
    skipped = (MANIFEST, "README.md", "history.jsonl")
    return {path.name: digest_file(path) for path in folder.iterdir() if path.name not in skipped}


def test_the_best_model_is_left_with_the_workflow_that_makes_it_again(
    invoke, emotions_data: Path, tmp_path: Path
) -> None:
    """Built for the runtime, and made again by another process: the same bytes."""
    model = make_tiny_model(tmp_path / "model", spread=0.3)
    done = invoke(
        "optimize", str(model), "--data", str(emotions_data), "--text-template", TEMPLATE, "--samples", "3",
        "--max-size", "20MB", "-o", str(tmp_path / "out"), "--cache-dir", str(tmp_path / "cache"),
        "--seed", "1",
    )  # fmt: skip
    assert "Tries SelectiveMixedPrecision" in done.stdout
    record = json.loads((tmp_path / "out" / "run.json").read_text())["search"]
    assert sum(bool(each["tasks"]) for each in record["candidates"]) == 3
    written = yaml.safe_load((tmp_path / "out" / "workflow.yaml").read_text())
    assert written["passes"]["build"]["type"] == "ModelBuilder"
    again = subprocess.run(
        [sys.executable, "-m", "modelpress", "run", str(tmp_path / "out" / "workflow.yaml"),
         "--cache-dir", str(tmp_path / "other"), "--output-dir", str(tmp_path / "again")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stdout + again.stderr
    assert files(tmp_path / "again" / "model") == files(tmp_path / "out" / "model")
