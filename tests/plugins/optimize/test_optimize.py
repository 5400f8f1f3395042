"""`modelpress optimize` composes a search of what is installed, and leaves the best with its workflow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from modelpress.errors import UserError
from modelpress.registry import Registry
from modelpress_plugins.optimize.command import metrics
from modelpress_plugins.optimize.compose import compose

TEMPLATE = "### Text: {phrase}\n### The tone is:\n{tone}"


def test_what_is_composed_comes_from_what_the_passes_say() -> None:
    composed = compose(Registry.load(), None)
    kinds = [section["type"] for section in composed.passes["quantize"]]
    assert {"Rtn", "Hqq", "KQuant", "Awq", "Gptq"} <= set(kinds)
    rtn = next(section for section in composed.passes["quantize"] if section["type"] == "Rtn")
    assert rtn == {"type": "Rtn", "group_size": "SEARCHABLE_VALUES", "sym": "SEARCHABLE_VALUES"}
    gptq = next(section for section in composed.passes["quantize"] if section["type"] == "Gptq")
    assert gptq["data_config"] == "data"
    assert composed.passes["mixed"][0] is None
    assert "build" not in composed.passes
    assert compose(Registry.load(), "ModelBuilder").passes["build"]["precision"] == "int4"


def test_limits_are_goals() -> None:
    found = {metric["type"]: metric["sub_types"][0] for metric in metrics("2KB", 30, 0.8)}
    assert found["size_on_disk"]["goal"] == {"type": "threshold", "value": 2000}
    assert found["accuracy"]["goal"]["value"] == 0.8
    assert found["latency"] == {"name": "latency_p50_ms", "goal": {"type": "threshold", "value": 30}}
    assert "goal" not in metrics(None, None, None)[0]["sub_types"][0]


def test_accuracy_needs_to_know_the_answer(invoke, emotions_model: Path, emotions_data: Path) -> None:
    with pytest.raises(UserError, match="where a row's answer begins"):
        invoke(
            "optimize", str(emotions_model), "--data", str(emotions_data), "--min-accuracy", "0.5", "-o", "x"
        )


def test_the_best_model_is_left_with_its_workflow(
    invoke, emotions_model: Path, emotions_data: Path, tmp_path: Path
) -> None:
    done = invoke(
        "optimize", str(emotions_model), "--data", str(emotions_data), "--text-template", TEMPLATE,
        "--samples", "2", "--no-build", "--max-size", "20MB", "-o", str(tmp_path / "out"),
        "--cache-dir", str(tmp_path / "cache"),
    )  # fmt: skip
    assert "Tries SelectiveMixedPrecision" in done.stdout
    assert "candidate 2: " in done.stdout
    record = json.loads((tmp_path / "out" / "run.json").read_text())["search"]
    assert len(record["candidates"]) == 2
    written = yaml.safe_load((tmp_path / "out" / "workflow.yaml").read_text())
    assert isinstance(written["passes"]["quantize"]["type"], str)
    assert (tmp_path / "out" / "model" / "config.json").is_file()
