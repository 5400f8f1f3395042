"""A graph that is run part by part gives what it gives as a whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from modelpress.api import PassError
from modelpress_plugins.onnx_graph.graph import located, open_graph
from modelpress_plugins.onnx_graph.in_parts import GraphInParts, cut

DRAW = np.random.default_rng(0)
FLOAT = TensorProto.FLOAT


def weight(name: str, *shape: int) -> onnx.TensorProto:
    return numpy_helper.from_array(DRAW.normal(size=shape).astype(np.float32), name)


def save(file: Path, external: bool = False) -> Path:
    """Looks up rows, multiplies, branches, multiplies again by the first weight, gives a weight as it is."""
    inner = helper.make_graph(
        [helper.make_node("MatMul", ["a", "w1"], ["inner"])],  # from around it
        "then",
        [],
        [helper.make_tensor_value_info("inner", FLOAT, ["n", 64])],
    )
    other = helper.make_graph(
        [helper.make_node("Identity", ["a"], ["same"])],
        "else",
        [],
        [helper.make_tensor_value_info("same", FLOAT, ["n", 64])],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "ids"], ["words"]),
            helper.make_node("MatMul", ["words", "w0"], ["a"]),
            helper.make_node("ReduceSum", ["a"], ["sum"], keepdims=0),
            helper.make_node("Greater", ["sum", "zero"], ["positive"]),
            helper.make_node("If", ["positive"], ["b"], then_branch=inner, else_branch=other),
            helper.make_node("Cast", ["b"], ["c"], to=TensorProto.FLOAT16),
            helper.make_node("Cast", ["c"], ["d"], to=FLOAT),
            helper.make_node("MatMul", ["d", "w0"], ["e"]),
            helper.make_node("Add", ["e", "a"], ["out"]),
        ],
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])],
        [
            helper.make_tensor_value_info("out", FLOAT, ["n", 64]),
            helper.make_tensor_value_info("sum", FLOAT, []),
            helper.make_tensor_value_info("w1", FLOAT, [64, 64]),
        ],
        [
            weight("table", 30, 64), weight("w0", 64, 64), weight("w1", 64, 64),
            numpy_helper.from_array(np.float32(0), "zero"),
        ],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, file, save_as_external_data=external, location="weights", size_threshold=0)
    return file


@pytest.mark.parametrize("external", [False, True])
@pytest.mark.parametrize("largest", [1, 20_000, 10**9])
def test_it_gives_what_the_whole_gives(tmp_path: Path, external: bool, largest: int) -> None:
    file = save(tmp_path / "model.onnx", external)
    parts = GraphInParts(file, largest=largest)
    feed = parts.made_inputs({}, 0)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    whole = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    for one, other in zip(parts.run(feed), whole.run(None, feed), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6 * np.abs(other).max())


def test_a_part_has_no_more_weights_than_it_may(tmp_path: Path) -> None:
    proto, _ = located(open_graph(save(tmp_path / "model.onnx")))
    parts = list(cut(proto.graph, 20_000))
    assert [list(part.nodes) for part in parts] == [[0], [1, 2, 3], [4, 5, 6], [7, 8]]
    assert parts[1].inputs == ("words",)
    assert parts[1].outputs == ("a", "positive", "sum")
    assert parts[2].inputs == ("a", "positive"), "what a branch reads from around it is read"
    assert parts[3].outputs == ("out",)


def test_what_onnxruntime_refuses_is_told(tmp_path: Path) -> None:
    file = save(tmp_path / "model.onnx")
    with pytest.raises(PassError, match=r"onnxruntime does not run model\.onnx"):
        GraphInParts(file).run({"ids": np.array([99])})
