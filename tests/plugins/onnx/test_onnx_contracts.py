"""The format, the input model and the passes keep the contracts of their kinds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from modelpress.api import Artifact
from modelpress.testing import FormatContract, ModelContract, PassContract, input_artifact


def write_model(folder: Path, external: bool = False) -> Path:
    """y = softmax(relu(x @ w1) @ w2), the weights inside or beside."""
    draw = np.random.default_rng(0)
    weights = [draw.normal(size=shape).astype(np.float32) / 8 for shape in ((64, 128), (128, 16))]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w1"], ["a"], "first"),
            helper.make_node("Relu", ["a"], ["b"], "relu"),
            helper.make_node("MatMul", ["b", "w2"], ["c"], "second"),
            helper.make_node("Softmax", ["c"], ["y"], "softmax"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 16])],
        [numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights, start=1)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "model.onnx", save_as_external_data=external, location="model.onnx.data")
    return folder


class TestOnnxFormat(FormatContract):
    format_name = "onnx"
    needed_files = ("model.onnx", "model.onnx.data")

    def make_model(self, folder: Path) -> Artifact:
        return input_artifact(write_model(folder, external=True), "onnx")


class TestONNXModel(ModelContract):
    model_name = "ONNXModel"

    def make_options(self, folder: Path) -> Mapping[str, str]:
        return {"model_path": str(write_model(folder))}


class TestONNXModelOfAFile(ModelContract):
    """A file among others stands for itself and its weights."""

    model_name = "ONNXModel"

    def make_options(self, folder: Path) -> Mapping[str, str]:
        write_model(folder, external=True)
        (folder / "other.txt").write_text("not the model's", encoding="utf-8")
        return {"model_path": str(folder / "model.onnx")}


class OnGraph(PassContract):
    external: ClassVar[bool] = False

    def make_input(self, folder: Path) -> Artifact:
        return input_artifact(write_model(folder, self.external), "onnx")


class TestFloat16(OnGraph):
    pass_name = "OnnxFloatToFloat16"
    bad_options: ClassVar[Mapping[str, object]] = {"max_finite_val": 1e9}


class TestFloat16Beside(OnGraph):
    pass_name = "OnnxFloatToFloat16"
    external = True
