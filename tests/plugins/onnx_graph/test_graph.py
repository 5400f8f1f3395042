"""A graph is opened without its weights, changed, and written whole again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from modelpress.api import UserError
from modelpress_plugins.onnx_graph.graph import (
    Form,
    MadeTensor,
    StoredTensor,
    initializers,
    open_graph,
    open_proto,
    strips,
    write_graph,
)

Array = np.ndarray


def model(constant: bool = False, in_float_data: bool = False) -> onnx.ModelProto:
    """y = x @ w + b; w has 64 x 64 numbers, as an initializer or in a Constant node."""
    draw = np.random.default_rng(0)
    w, b = draw.normal(size=(64, 64)).astype(np.float32), draw.normal(size=64).astype(np.float32)
    told = (
        helper.make_tensor("w", TensorProto.FLOAT, w.shape, w.ravel())
        if in_float_data
        else numpy_helper.from_array(w, "w")
    )
    nodes = [helper.make_node("Constant", [], ["w"], value=told)] if constant else []
    nodes += [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Add", ["m", "b"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 64])],
        [numpy_helper.from_array(b, "b"), *([] if constant else [told])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def answer(file: Path) -> Array:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    found: Array = session.run(None, {"x": np.ones((2, 64), np.float32)})[0]
    return found


@pytest.fixture(params=["inside", "float_data", "constant", "beside"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same model in each way that its weights can lie."""
    path = tmp_path / "in" / "model.onnx"
    path.parent.mkdir()
    made = model(request.param == "constant", request.param == "float_data")
    onnx.save(made, path, save_as_external_data=request.param == "beside", size_threshold=0)
    return path


def test_the_weights_stay_on_disk(file: Path) -> None:
    held = {value.name: value.const_value for value in initializers(open_graph(file))}
    assert isinstance(held["w"], StoredTensor)
    assert held["w"].nbytes == 64 * 64 * 4
    assert open_proto(file).ByteSize() < 2000


@pytest.mark.parametrize(
    "form", [Form(), Form(external=True), Form(external=True, one_file=False, threshold=0)]
)
def test_a_graph_written_as_it_was_computes_the_same(file: Path, form: Form, tmp_path: Path) -> None:
    out = tmp_path / "out" / "model.onnx"
    write_graph(open_graph(file), out, form)
    onnx.checker.check_model(out)
    assert (answer(out) == answer(file)).all()
    assert any(path.suffix == ".data" for path in out.parent.iterdir()) == form.external


def test_the_same_graph_gives_the_same_bytes(file: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_graph(open_graph(file), tmp_path / name / "model.onnx", Form(external=True))
    assert [(tmp_path / "one" / n).read_bytes() for n in ("model.onnx", "model.onnx.data")] == [
        (tmp_path / "two" / n).read_bytes() for n in ("model.onnx", "model.onnx.data")
    ]


@pytest.mark.parametrize("external", [False, True])
def test_a_tensor_is_computed_while_it_is_written(file: Path, external: bool, tmp_path: Path) -> None:
    graph = open_graph(file)
    value = next(value for value in initializers(graph) if value.name == "w")
    source = value.const_value
    assert source is not None
    value.const_value = MadeTensor(
        "w", ir.DataType.FLOAT, source.shape.numpy(), lambda: (2 * strip for strip in strips(source))
    )
    out = tmp_path / "out" / "model.onnx"
    write_graph(graph, out, Form(external=external))
    bias = next(value.const_value for value in initializers(graph) if value.name == "b")
    assert bias is not None
    assert np.allclose(answer(out) - bias.numpy(), 2 * (answer(file) - bias.numpy()), atol=1e-5)
    assert isinstance(value.const_value, MadeTensor), "the graph in memory stays as it was"


def test_rows_are_read_alone(file: Path) -> None:
    held = {value.name: value.const_value for value in initializers(open_graph(file))}
    w = held["w"]
    assert isinstance(w, StoredTensor)
    assert (w.rows(3, 5) == w.numpy()[3:5]).all()


def test_packed_types_are_computed_too(tmp_path: Path) -> None:
    made = MadeTensor("q", ir.DataType.UINT4, (2, 4), lambda: [np.array([0x21, 0x43, 0x65, 0x87], np.uint8)])
    assert made.nbytes == 4
    assert made.numpy().astype(int).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_a_tensor_that_gives_too_few_bytes_is_refused(file: Path, tmp_path: Path) -> None:
    graph = open_graph(file)
    value = next(value for value in initializers(graph) if value.name == "w")
    value.const_value = MadeTensor("w", ir.DataType.FLOAT, (64, 64), lambda: [bytes(8)])
    with pytest.raises(ValueError, match="w gave 8 bytes, and has 16384"):
        write_graph(graph, tmp_path / "out" / "model.onnx")


def test_a_cut_graph_is_told(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"model.onnx (is cut or damaged|cannot be read)"):
        open_graph(file)


def test_cut_weights_beside_are_told(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(model(), path, save_as_external_data=True, location="weights", size_threshold=0)
    (tmp_path / "weights").write_bytes((tmp_path / "weights").read_bytes()[:-20])
    held = [value.const_value for value in initializers(open_graph(path))]
    with pytest.raises(UserError, match=r"weights is cut short: \w lacks 20 bytes"):
        [tensor.tobytes() for tensor in held if tensor is not None]
