"""ONNX models are timed, weighed and compared with what they were made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from modelpress.api import MetricSpec, Registry
from modelpress.artifact import open_artifact
from modelpress.errors import ModelpressError

Press = Callable[..., Any]
QUICK = {"warmup_num": 1, "repeat_test_num": 4}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """y = x @ w, with a file beside it that is not the model's."""
    w = np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 32])],
        [numpy_helper.from_array(w, "w")],
    )
    folder = tmp_path / "model"
    folder.mkdir()
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(made, folder / "model.onnx")
    (folder / "holiday.jpg").write_bytes(bytes(10**6))
    return folder / "model.onnx"


def measured(*metrics: dict[str, Any]) -> dict[str, Any]:
    return {"evaluators": {"e": {"metrics": list(metrics)}}, "evaluator": "e"}


def test_it_is_timed_and_weighed(model: Path, press: Press) -> None:
    metrics = [
        {"type": "latency", **QUICK},
        {"type": "throughput", **QUICK},
        {"type": "size_on_disk"},
        {"type": "peak_memory"},
    ]
    found = press(model, **measured(*metrics)).metrics
    assert found["latency_avg_ms"] > 0
    assert found["throughput_avg"] > 0
    assert "latency_first_token_avg_ms" not in found
    assert found["size_on_disk"] == model.stat().st_size
    assert found["peak_memory"] >= 0


def test_a_result_is_compared_with_its_input(model: Path, press: Press) -> None:
    found = press(model, {"type": "OnnxFloatToFloat16"}, **measured({"type": "discrepancy"})).metrics
    assert 0 < found["discrepancy_largest"] < 0.1
    assert 0 < found["discrepancy_mean"] < found["discrepancy_largest"]
    assert found["discrepancy_cosine"] > 0.999
    assert found["discrepancy_top_1"] > 0.8


def test_inputs_are_as_io_config_says(model: Path, press: Press) -> None:
    io_config = {"input_names": ["x"], "input_shapes": [[3, 64]]}
    assert press(model, **measured({"type": "latency", **QUICK, "io_config": io_config})).metrics
    wrong = {"input_names": ["z"], "input_shapes": [[3, 64]]}
    with pytest.raises(ModelpressError, match="The model has no input 'z'"):
        press(model, **measured({"type": "latency", **QUICK, "io_config": wrong}))


@pytest.fixture
def rows(tmp_path: Path) -> dict[str, Any]:
    """Data configs: three samples of the model's input, of one row each, and one that does not fit."""
    folders = {"fits": np.ones((1, 64), np.float32), "wide": np.ones((1, 65), np.float32)}
    configs = []
    for name, array in folders.items():
        (tmp_path / name).mkdir()
        for number in range(3):
            np.savez(tmp_path / name / f"{number}.npz", x=array * number)
        load = {"data_dir": str(tmp_path / name)}
        configs.append({"name": name, "type": "TensorDataContainer", "load_dataset_config": load})
    return {"data_configs": configs}


def test_data_are_what_it_is_measured_on(model: Path, press: Press, rows: dict[str, Any]) -> None:
    metrics = [
        {"type": "latency", **QUICK, "data_config": "fits"},
        {"type": "peak_memory", "data_config": "fits"},
        {"type": "discrepancy", "data_config": "fits", "samples": 3},
    ]
    found = press(model, {"type": "OnnxFloatToFloat16"}, **measured(*metrics), **rows).metrics
    assert found["latency_avg_ms"] > 0
    assert 0 < found["discrepancy_largest"] < 0.1


def test_data_that_do_not_fit_are_told(model: Path, press: Press, rows: dict[str, Any]) -> None:
    with pytest.raises(ModelpressError, match=r"wide give x the shape \[1, 65\]; the model takes"):
        press(model, **measured({"type": "latency", **QUICK, "data_config": "wide"}), **rows)


def test_throughput_of_arrays_is_of_runs_and_says_no_tokens() -> None:
    spec = Registry.load().find(MetricSpec, "throughput").spec
    assert spec.gives["throughput_avg"] == ("/s", True)
    assert spec.gives["throughput_prompt_avg"] == ("tokens/s", True)


def test_what_gives_no_text_has_no_first_token(model: Path, press: Press) -> None:
    with pytest.raises(ModelpressError, match="gives no tokens: measure its latency instead"):
        press(model, **measured({"type": "time_to_first_token", **QUICK}))


def test_settings_stay_where_what_they_are_for_is_not_here(model: Path, press: Press) -> None:
    target = {"device": "gpu", "execution_providers": ["CUDAExecutionProvider"]}
    systems = {"gpu": {"type": "LocalSystem", "accelerators": [target]}}
    pressed = press(model, {"type": "OrtSessionParamsTuning"}, systems=systems, target="gpu")
    assert any("There is no CUDAExecutionProvider here" in note for note in pressed.notes)
    assert (pressed.folder / "model.onnx").read_bytes() == model.read_bytes()


def test_the_fastest_settings_stay_with_the_model(model: Path, press: Press) -> None:
    step = {"type": "OrtSessionParamsTuning", "intra_thread_num_list": [1, 2], "repeat_test_num": 2}
    pressed = press(model, step, **measured({"type": "latency", **QUICK}))
    settings = open_artifact(pressed.folder).meta.extra["inference_settings"]
    assert settings["session_options"]["intra_op_num_threads"] in (1, 2)  # type: ignore[call-overload,index]
    assert any("Of 2 settings the fastest takes" in note for note in pressed.notes)
    assert sorted(path.name for path in pressed.folder.glob("*.onnx")) == ["model.onnx"]
    assert pressed.metrics["latency_avg_ms"] > 0
