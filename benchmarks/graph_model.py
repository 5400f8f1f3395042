"""A decoder-like ONNX graph of a chosen size with random weights, written as they are made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a graph without real attention: the weights are what is measured."""

    hidden: int
    intermediate: int
    layers: int
    vocabulary: int


GRAPH = Shape(hidden=2048, intermediate=5632, layers=3, vocabulary=10288)
"""785 MB in float32."""
SMALL = Shape(hidden=64, intermediate=128, layers=2, vocabulary=256)


def make_graph(folder: Path, shape: Shape) -> Path:
    """The file of the graph, its weights in one file beside it."""
    folder.mkdir(parents=True)
    weights: list[TensorProto] = []
    with (folder / "model.onnx.data").open("wb") as data:
        draw = np.random.default_rng(0)
        for name, dims in _weights(shape):
            numbers = draw.standard_normal(dims, dtype=np.float32) / np.float32(dims[0] ** 0.5)
            tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=dims, data_location=1)
            for key, value in (
                ("location", "model.onnx.data"),
                ("offset", data.tell()),
                ("length", numbers.nbytes),
            ):
                tensor.external_data.add(key=key, value=str(value))
            data.write(numbers.tobytes())
            weights.append(tensor)
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "length"])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "length", shape.vocabulary])
    graph = helper.make_graph(list(_nodes(shape)), "decoder", [ids], [logits], weights)
    file = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), file)
    return file


def _weights(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    wide, broad = shape.hidden, shape.intermediate
    yield "embed", (shape.vocabulary, wide)
    for layer in range(shape.layers):
        for name in ("q", "k", "v"):
            yield f"{layer}.{name}.weight", (wide, wide)
            yield f"{layer}.{name}.bias", (wide,)
        yield f"{layer}.o.weight", (wide, wide)
        yield f"{layer}.up.weight", (wide, broad)
        yield f"{layer}.gate.weight", (wide, broad)
        yield f"{layer}.down.weight", (broad, wide)
    yield "head", (wide, shape.vocabulary)


def _nodes(shape: Shape) -> Iterator[onnx.NodeProto]:
    def node(kind: str, inputs: list[str], output: str) -> onnx.NodeProto:
        return helper.make_node(kind, inputs, [output], f"/{output}/{kind}")

    yield node("Gather", ["embed", "input_ids"], "0.in")
    for layer in range(shape.layers):
        before = f"{layer}.in"
        for name in ("q", "k", "v"):
            yield node("MatMul", [before, f"{layer}.{name}.weight"], f"{layer}.{name}.product")
            yield node("Add", [f"{layer}.{name}.product", f"{layer}.{name}.bias"], f"{layer}.{name}")
        yield node("Mul", [f"{layer}.q", f"{layer}.k"], f"{layer}.score")
        yield node("Sigmoid", [f"{layer}.score"], f"{layer}.gated")
        yield node("Mul", [f"{layer}.gated", f"{layer}.v"], f"{layer}.mixed")
        yield node("MatMul", [f"{layer}.mixed", f"{layer}.o.weight"], f"{layer}.o")
        yield node("Add", [before, f"{layer}.o"], f"{layer}.between")
        yield node("MatMul", [f"{layer}.between", f"{layer}.up.weight"], f"{layer}.up")
        yield node("MatMul", [f"{layer}.between", f"{layer}.gate.weight"], f"{layer}.gate")
        yield node("Sigmoid", [f"{layer}.gate"], f"{layer}.open")
        yield node("Mul", [f"{layer}.open", f"{layer}.up"], f"{layer}.wide")
        yield node("MatMul", [f"{layer}.wide", f"{layer}.down.weight"], f"{layer}.down")
        yield node("Add", [f"{layer}.between", f"{layer}.down"], f"{layer + 1}.in")
    yield node("MatMul", [f"{shape.layers}.in", "head"], "logits")
