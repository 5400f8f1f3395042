"""The surgeon, in the pass that it is for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime

import modelpress

TEXT = """
<ir_version: 10, opset_import: ["" : 21]>
m (float[n, 4] x) => (float[n, 4] y)
{
    a = Relu (x)
    b = Dropout (a)
    c = Neg (b)
    y = Dropout (c)
}
"""


def test_dropout_goes_and_outputs_stay(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    onnx.save(onnx.parser.parse_model(TEXT), tmp_path / "m" / "model.onnx")
    surgeries = [{"surgeon": "removedropout"}]
    workflow = {
        "input_model": {"type": "ONNXModel", "model_path": str(tmp_path / "m" / "model.onnx")},
        "passes": {"cut": {"type": "GraphSurgeries", "surgeries": surgeries}},
    }
    out = modelpress.run(workflow, output_dir=tmp_path / "out", in_process=True).artifact.path / "model.onnx"
    assert "Dropout" not in {node.op_type for node in onnx.load(out).graph.node}
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    assert session.run(["y"], {"x": np.array([[-1, 0, 1, 2]], np.float32)})[0].tolist() == [[0, 0, -1, -2]]


def test_a_misspelt_name_is_told_with_this_one(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    onnx.save(onnx.parser.parse_model(TEXT), tmp_path / "m" / "model.onnx")
    workflow = {
        "input_model": {"type": "ONNXModel", "model_path": str(tmp_path / "m")},
        "passes": {"cut": {"type": "GraphSurgeries", "surgeries": [{"surgeon": "RemoveDropuot"}]}},
    }
    (problem,) = modelpress.validate(workflow)
    assert problem.hint == "Did you mean 'RemoveDropout'?"
