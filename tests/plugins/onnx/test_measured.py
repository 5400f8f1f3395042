"""ONNX models are timed, weighed and compared with what they were made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

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


def test_what_gives_no_text_has_no_first_token(model: Path, press: Press) -> None:
    with pytest.raises(ModelpressError, match="gives no tokens: measure its latency instead"):
        press(model, **measured({"type": "time_to_first_token", **QUICK}))


def test_the_fastest_settings_stay_with_the_model(model: Path, press: Press) -> None:
    step = {"type": "OrtSessionParamsTuning", "intra_thread_num_list": [1, 2], "repeat_test_num": 2}
    pressed = press(model, step, **measured({"type": "latency", **QUICK}))
    settings = open_artifact(pressed.folder).meta.extra["inference_settings"]
    assert settings["session_options"]["intra_op_num_threads"] in (1, 2)  # type: ignore[call-overload,index]
    assert any("Of 2 settings the fastest takes" in note for note in pressed.notes)
    assert sorted(path.name for path in pressed.folder.glob("*.onnx")) == ["model.onnx"]
    assert pressed.metrics["latency_avg_ms"] > 0
