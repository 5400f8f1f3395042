"""Names of inputs, outputs and dimensions; copies and duplicates go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.plugins.graph_surgeries.table import graph, operate, run, same

from modelpress.api import UserError

X = np.arange(6, dtype=np.float32).reshape(1, 6)


def _loop() -> onnx.ModelProto:
    return graph(
        "m (float[1, 6] x, bool c) => (float[1, 6] y, float[1, 6] z) { z = Neg (x)  y = If (c) "
        "<then_branch = a () => (float[1, 6] t) { t = Add (x, z) }, else_branch = b () => "
        "(float[1, 6] e) { e = Sub (x, z) }> }"
    )


def test_inputs_get_other_names_in_subgraphs_too(tmp_path: Path) -> None:
    source = _loop()
    result = operate(source, tmp_path, "RenameInputs", old_names=["x"], new_names=["pixels"])
    assert result.changed == 1
    assert [value.name for value in result.model.graph.input] == ["pixels", "c"]
    same(source, result, {"x": X, "c": np.array(True)})


def test_two_inputs_change_names(tmp_path: Path) -> None:
    source = graph("m (float[1, 6] x, float[1, 6] y) => (float[1, 6] z) { z = Sub (x, y) }")
    result = operate(source, tmp_path, "RenameInputs", old_names=["x", "y"], new_names=["y", "x"])
    same(source, result, {"x": X, "y": X + 1})


def test_outputs_get_other_names(tmp_path: Path) -> None:
    source = _loop()
    result = operate(source, tmp_path, "RenameOutputs", old_names=["y", "z"], new_names=["sum", "less"])
    assert result.changed == 2
    same(source, result, {"x": X, "c": np.array(False)})


@pytest.mark.parametrize(
    ("surgeon", "old", "new", "told"),
    [
        ("RenameInputs", "pixel", "image", "no input 'pixel'"),
        ("RenameOutputs", "logit", "image", "no output 'logit'"),
        ("RenameInputs", "x", "z", "has a value 'z' already"),
    ],
)
def test_a_name_that_is_not_there_or_is_taken_is_told(
    tmp_path: Path, surgeon: str, old: str, new: str, told: str
) -> None:
    with pytest.raises(UserError, match=told):
        operate(_loop(), tmp_path, surgeon, old_names=[old], new_names=[new])


@pytest.mark.parametrize("where", [{"input_name": "x"}, {"input_idx": 0}])
def test_a_fixed_dimension_of_an_input_gets_a_name(tmp_path: Path, where: dict[str, object]) -> None:
    source = graph("m (float[1, 6] x) => (float[m, 6] y) { y = Neg (x) }")
    result = operate(source, tmp_path, "RenameInputDims", dim_idx=0, dim_name="images", **where)
    assert result.changed == 1
    assert run(result.model, {"x": np.concatenate([X, X])})["y"].shape == (2, 6)


def test_a_dimension_of_an_output_gets_a_name(tmp_path: Path) -> None:
    source = graph("m (float[n, 6] x) => (float[n, 6] y) { y = Neg (x) }")
    result = operate(source, tmp_path, "RenameOutputDims", output_idx=0, dim_idx=0, dim_name="patches")
    assert result.model.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "patches"
    assert (
        operate(
            result.model, tmp_path, "RenameOutputDims", output_idx=0, dim_idx=0, dim_name="patches"
        ).changed
        == 0
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"output_idx": 3, "dim_idx": 0}, "1 outputs; there is none at 3"),
        ({"output_idx": 0, "dim_idx": 7}, "no dimension 7"),
    ],
)
def test_a_place_that_is_not_there_is_told(tmp_path: Path, options: dict[str, int], told: str) -> None:
    source = graph("m (float[n, 6] x) => (float[n, 6] y) { y = Neg (x) }")
    with pytest.raises(UserError, match=told):
        operate(source, tmp_path, "RenameOutputDims", dim_name="patches", **options)


def _with_copies() -> onnx.ModelProto:
    return graph(
        "m (float[1, 6] x, bool c) => (float[1, 6] y, float[1, 6] d) { h = MemcpyToHost (x)  "
        "n = Neg (h)  d = MemcpyFromHost (n)  "
        "y = If (c) <then_branch = a () => (float[1, 6] t) { i = MemcpyFromHost (n)  t = Abs (i) }, "
        "else_branch = b () => (float[1, 6] e) { e = Exp (n) }> }"
    )


def test_copies_between_device_and_host_go_in_subgraphs_too(tmp_path: Path) -> None:
    result = operate(_with_copies(), tmp_path, "RemoveMemcpy")
    assert (result.changed, result.kinds) == (3, ["Neg", "If"])
    found = run(result.model, {"x": X, "c": np.array(True)})
    np.testing.assert_array_equal(found["y"], X)
    np.testing.assert_array_equal(found["d"], -X)


def _doubled(second: str = "Neg") -> onnx.ModelProto:
    nodes = [
        helper.make_node(kind, ["x"], ["n"], name=name) for kind, name in (("Neg", "one"), (second, "two"))
    ]
    value = helper.make_tensor_value_info
    return helper.make_model(
        helper.make_graph(
            [*nodes, helper.make_node("Abs", ["n"], ["y"])], "m",
            [value("x", TensorProto.FLOAT, [1, 6])], [value("y", TensorProto.FLOAT, [1, 6])],
        ),
        opset_imports=[helper.make_opsetid("", 21)], ir_version=10,
    )  # fmt: skip


def test_a_node_that_is_there_twice_goes(tmp_path: Path) -> None:
    result = operate(_doubled(), tmp_path, "DeduplicateNodes")
    assert (result.changed, result.kinds) == (1, ["Neg", "Abs"])
    np.testing.assert_array_equal(run(result.model, {"x": X})["y"], X)


def test_two_nodes_that_give_one_value_and_differ_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Neg 'one' and Exp 'two'"):
        operate(_doubled("Exp"), tmp_path, "DeduplicateNodes")


def _subgraph_with(second: float) -> onnx.ModelProto:
    model = graph(
        "m (float[1, 6] x, bool c) => (float[1, 6] y) { y = If (c) "
        "<then_branch = a () => (float[1, 6] t) { t = Mul (x, w) }, else_branch = b () => "
        "(float[1, 6] e) { e = Neg (x) }> }"
    )
    branch = next(a.g for a in model.graph.node[0].attribute if a.name == "then_branch")
    for number in (2.0, second):
        branch.initializer.append(onnx.numpy_helper.from_array(np.array(number, np.float32), "w"))
    return model


def test_an_initializer_of_a_subgraph_that_is_there_twice_goes(tmp_path: Path) -> None:
    result = operate(_subgraph_with(2.0), tmp_path, "DeduplicateSubgraphInitializers")
    assert result.changed == 1
    np.testing.assert_array_equal(run(result.model, {"x": X, "c": np.array(True)})["y"], X * 2)


def test_two_initializers_of_one_name_that_differ_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="differ"):
        operate(_subgraph_with(3.0), tmp_path, "DeduplicateSubgraphInitializers")
