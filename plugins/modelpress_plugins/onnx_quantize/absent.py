"""A graph proto whose weights are absent: neither in it nor beside it, but known.

What reads such a graph and does not need the weights' numbers (onnxruntime's quantizers, shape inference)
takes it as whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx.external_data_helper import uses_external_data

from modelpress_plugins.onnx_graph.graph import Array, StoredTensor
from modelpress_plugins.onnx_quantize.blocks import STRIP_ELEMENTS

READ_BY_QUANTIZERS = frozenset({"LSTM"})
"""Operators whose weights onnxruntime's quantizers look at after they have quantized them."""


@dataclass(frozen=True, slots=True)
class Absent:
    """A weight of two dimensions or more. turned: it is the transpose of what is stored (of two)."""

    stored: StoredTensor
    turned: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        stored = tuple(self.stored.shape.numpy())
        return stored[::-1] if self.turned else stored

    @property
    def rank(self) -> int:
        return len(self.stored.shape)

    def extremes(self, axis: int | None) -> tuple[Array, Array]:
        """(least, greatest) number; with an axis, of each of its channels."""
        kept = None if axis is None else (1 - axis if self.turned else axis)
        others = tuple(place for place in range(self.rank) if place != kept)
        low: list[Array] = []
        high: list[Array] = []
        for _, slab in slabs(self.stored):
            low.append(slab.min(others))
            high.append(slab.max(others))
        if kept == 0:
            return np.concatenate(low), np.concatenate(high)
        return np.min(low, 0), np.max(high, 0)


def take_out(proto: onnx.ModelProto, folder: Path) -> dict[str, Absent]:
    """Take the weights out of the graph that lie in the folder; by name. Those whose numbers a quantizer
    looks at, or that a subgraph may use, and biases, are loaded instead."""
    wanted = _needed(proto.graph)
    absent: dict[str, Absent] = {}
    for graph in _graphs(proto.graph):
        for tensor in graph.initializer:
            if not uses_external_data(tensor):
                continue
            if graph is proto.graph and tensor.name not in wanted and len(tensor.dims) > 1:
                absent[tensor.name] = Absent(_stored(tensor, folder))
                tensor.ClearField("external_data")
                tensor.ClearField("data_location")
            else:
                load_external(tensor, folder)
    return absent


def load_external(tensor: onnx.TensorProto, folder: Path) -> None:
    """Read a tensor that lies in the folder into the proto."""
    tensor.raw_data = _stored(tensor, folder).read()
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")


def put_back(proto: onnx.ModelProto, absent: Mapping[str, Absent], folder: Path) -> None:
    """Say again, for those that are still in the graph, where they lie."""
    for tensor in proto.graph.initializer:
        found = absent.get(tensor.name)
        if found is not None and not found.turned:
            source = found.stored
            location = source.file.relative_to(folder).as_posix()
            place = {"location": location, "offset": source.offset, "length": source.length}
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in place.items():
                tensor.external_data.add(key=key, value=str(value))


def slabs(tensor: StoredTensor) -> Iterator[tuple[int, Array]]:
    """(first row, some rows): the tensor along its first dimension, some MB at a time."""
    rows, *rest = tensor.shape.numpy()
    step = max(1, STRIP_ELEMENTS // max(1, int(np.prod(rest))))
    for start in range(0, rows, step):
        yield start, tensor.rows(start, min(start + step, rows))


def _stored(tensor: onnx.TensorProto, folder: Path) -> StoredTensor:
    place = {entry.key: entry.value for entry in tensor.external_data}
    dtype, shape = ir.DataType(tensor.data_type), ir.Shape(tensor.dims)
    nbytes = int(place.get("length") or dtype.itemsize * int(np.prod(tensor.dims)))
    return StoredTensor(
        folder / place["location"], int(place.get("offset") or 0), nbytes, dtype, shape, tensor.name
    )


def _needed(graph: onnx.GraphProto) -> set[str]:
    names = {name for node in graph.node if node.op_type in READ_BY_QUANTIZERS for name in node.input}
    below = [inner for inner in _graphs(graph) if inner is not graph]
    return names | {name for inner in below for node in inner.node for name in node.input}


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node or inner.output:
                    yield from _graphs(inner)


def transpose_weights_of_gemm(graph: onnx.GraphProto, absent: dict[str, Absent]) -> None:
    """Say of each Gemm with an absent weight that is transposed there, that it has the transposed weight,
    which is absent as well. onnxruntime's quantizer does that too, and reads the weight for it; the names are
    those that it gives."""
    taken = {tensor.name for tensor in graph.initializer}
    taken |= {value.name for value in (*graph.input, *graph.output, *graph.value_info)}
    taken |= {name for node in graph.node for name in (*node.input, *node.output)}
    made: dict[str, str] = {}
    for node in graph.node:
        if node.op_type != "Gemm" or node.input[1] not in absent or not _is_turned(node):
            continue
        weight = node.input[1]
        if weight not in made:
            made[weight] = _free(f"{weight}_Transposed", taken)
            absent[made[weight]] = Absent(absent[weight].stored, turned=True)
            tensor = graph.initializer.add(name=made[weight], data_type=absent[weight].stored.dtype.value)
            tensor.dims.extend(absent[made[weight]].shape)
        node.input[1] = made[weight]
        kept = [attribute for attribute in node.attribute if attribute.name != "transB"]
        del node.attribute[:]
        node.attribute.extend(kept)


def _is_turned(node: onnx.NodeProto) -> bool:
    """Whether the quantizer makes a MatMul of this Gemm, and of its transposed weight."""
    given = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
    plain = given.get("alpha", 1.0) == 1.0 and given.get("beta", 1.0) == 1.0 and not given.get("transA", 0)
    return plain and given.get("transB", 0) == 1


def _free(name: str, taken: set[str]) -> str:
    """A name that is free, and so are those that quantization derives from it."""
    suffixes = ("", "_quantized", "_scale", "_zero_point")
    free, number = name, 0
    while any(free + suffix in taken for suffix in suffixes):
        number += 1
        free = f"{name}_{number}"
    taken.update(free + suffix for suffix in suffixes)
    return free
