"""Small graphs for the tests of the quantizers, and what is compared of two."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from modelpress.api import PassSpec, Registry
from modelpress.testing import input_artifact
from modelpress.testing.context import run_pass


class Pressed(NamedTuple):
    """What a pass gave. notes: all that it told, as one text."""

    folder: Path
    model: onnx.ModelProto
    notes: str


IDS = np.array([1, 5, 29, 0])


def small_model(dtype: str = "float32", *, opset: int = 17, seed: int = 0) -> onnx.ModelProto:
    """Looks up words, multiplies by weights, one of which is used twice, adds a bias, gives (n, 40)."""
    draw = np.random.default_rng(seed)
    kind = np.dtype(dtype)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(draw.standard_normal(shape).astype(kind), name)

    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["words"], "gather"),
        helper.make_node("MatMul", ["words", "first"], ["a"], "/layer/q/MatMul"),
        helper.make_node("Add", ["a", "bias"], ["b"], "add"),
        helper.make_node("Relu", ["b"], ["c"], "relu"),
        helper.make_node("MatMul", ["c", "second"], ["d"], "/layer/o/MatMul"),
        helper.make_node("MatMul", ["words", "first"], ["e"], "/layer/k/MatMul"),
        helper.make_node("MatMul", ["e", "third"], ["f"], "/layer/v/MatMul"),
        helper.make_node("Add", ["d", "f"], ["g"], "sum"),
        helper.make_node("Gemm", ["g", "fourth", "last"], ["h"], "gemm", transB=1),
        helper.make_node("Identity", ["h"], ["out"], "identity"),
    ]
    kept = [
        weight("table", 30, 72), weight("first", 72, 100), weight("bias", 100), weight("second", 100, 40),
        weight("third", 100, 40), weight("fourth", 40, 40), weight("last", 40),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("out", helper.np_dtype_to_tensor_dtype(kind), ["n", 40])],
        kept,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def saved(model: onnx.ModelProto, folder: Path, *, external: bool = True) -> Path:
    """The model in a folder of its own, with all weights beside it or none."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "model.onnx"
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    onnx.save(copy, file, save_as_external_data=external, location="weights.bin", size_threshold=0)
    return file


def parts(model: onnx.ModelProto) -> dict[str, Any]:
    """What two graphs are compared by: everything but shapes in between, and the order of weights."""
    return {
        "weights": {
            t.name: (t.data_type, tuple(t.dims), numpy_helper.to_array(t).tobytes())
            for t in model.graph.initializer
        },
        "nodes": [
            (n.op_type, n.domain, n.name, list(n.input), list(n.output), sorted(map(str, n.attribute)))
            for n in model.graph.node
        ],
        "ends": [str(value) for value in (*model.graph.input, *model.graph.output)],
        "opsets": sorted((opset.domain, opset.version) for opset in model.opset_import),
    }


def outputs(model: onnx.ModelProto, ids: Any = IDS) -> Any:
    """As written: optimized, DequantizeLinear and MatMul become a MatMulNBits that computes in int8."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"ids": ids})[0]


@pytest.fixture
def small() -> Callable[..., onnx.ModelProto]:
    return small_model


@pytest.fixture
def save() -> Callable[..., Path]:
    return saved


@pytest.fixture
def parts_of() -> Callable[[onnx.ModelProto], dict[str, Any]]:
    return parts


@pytest.fixture
def outputs_of() -> Callable[..., Any]:
    return outputs


@pytest.fixture
def press(tmp_path: Path) -> Callable[..., Pressed]:
    """Run a pass on a graph: press("OnnxKQuantQuantization", file, bits=8)."""
    registry = Registry.load()
    count = itertools.count()

    def run(name: str, file: Path, format: str = "onnx", data: Any = (), **options: Any) -> Pressed:
        folder = tmp_path / f"job{next(count)}"
        source = input_artifact(file.parent, format)
        found = registry.find(PassSpec, name)
        run_pass(found, source, options, folder, registry=registry, data=dict(data))
        events = [json.loads(line) for line in (folder / "events.jsonl").read_text("utf-8").splitlines()]
        notes = " ".join(str(event.get("message", "")) for event in events)
        return Pressed(folder / "out", onnx.load(folder / "out" / file.name), notes)

    return run
