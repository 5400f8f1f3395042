"""Small changes to a built graph. The weights lie beside it, in external data, and are not touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

_NODE = "MatMulNBits"
_LOOKUP = "GatherBlockQuantized"
_KEPT_CODES = ".DequantizeLinear.qweight"
_CHUNK = 2**22


def accuracy_levels(graph: Path) -> set[int]:
    """The levels of its MatMulNBits nodes; empty when it has none."""
    return {_level(node) for node in _nodes(read_graph(graph), _NODE)}


def set_accuracy_level(graph: Path, level: int) -> None:
    """Give every MatMulNBits node this accuracy_level, as if it had been built with it."""
    model = read_graph(graph)
    give_accuracy_level(model, level)
    onnx.save(model, graph)


def give_accuracy_level(model: onnx.ModelProto, level: int) -> None:
    """The same, of a graph that has been read."""
    for node in _nodes(model, _NODE):
        kept = [a for a in node.attribute if a.name != "accuracy_level"]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute("accuracy_level", level)])


def shares_embedding(graph: Path) -> bool:
    """Whether ids are looked up in quantized weights, those of the lm_head."""
    return any(True for _ in _nodes(read_graph(graph), _LOOKUP))


def attention_windows(graph: Path) -> list[int]:
    """The sliding window of each attention node, in the order of the layers; 0 where it sees everything."""
    nodes = _nodes(read_graph(graph), "GroupQueryAttention")
    return [next((max(0, a.i) for a in node.attribute if a.name == "local_window_size"), 0) for node in nodes]


def name_producer(graph: Path) -> bool:
    """Leave of the builder's version what is of the builder. Whether there was more.

    It appends the commit of whatever git checkout its own folder lies in (`0.18.0+05880f6`), as that of an
    environment made inside a project: another commit, and the same build had other bytes.
    """
    model = read_graph(graph)
    version, more, _ = model.producer_version.partition("+")
    if more:
        model.producer_version = version
        onnx.save(model, graph)
    return bool(more)


def shape_scales(graph: Path) -> bool:
    """Give scales and zero points of quantized weights two dimensions, rows first. Whether any were flat.

    The builder of onnxruntime-genai 0.18 writes those of a checkpoint that is quantized already flat. The
    lookup of a shared embedding refuses to load them ("scales must have the same rank as data"), and so does
    DirectML.
    """
    model = read_graph(graph)
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    values = {info.name: info.type.tensor_type for info in model.graph.value_info}
    changed = False
    for node in (*_nodes(model, _NODE), *_nodes(model, _LOOKUP)):
        data = node.input[1 if node.op_type == _NODE else 0]
        rows = initializers[data].dims[0] if data in initializers else _rows_of(data, model)
        for name in node.input[2:4]:
            tensor = initializers.get(name)
            if tensor is None or rows == 0 or len(tensor.dims) != 1 or tensor.dims[0] % rows:
                continue
            tensor.dims[:] = [rows, tensor.dims[0] // rows]
            if name in values:
                shaped = onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
                values[name].CopyFrom(shaped.tensor_type)
            changed = True
    if changed:
        onnx.save(model, graph)
    return changed


def sign_codes(graph: Path) -> bool:
    """Turn the codes of symmetric weights, 0 to 15 around 8, into the int4 that the graph says they are.
    Whether there were any.

    The builder of onnxruntime-genai 0.18 keeps the codes of a checkpoint that is quantized already (in its
    QDQ form, for TensorRT-RTX), calls them INT4, and gives no zero point: 15 would be read as -1.
    """
    model = read_graph(graph)
    codes = {
        tensor.name: tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.INT4
    }
    found = [
        codes[node.input[0]]
        for node in _nodes(model, "DequantizeLinear")
        if len(node.input) == 2 and node.input[0].endswith(_KEPT_CODES) and node.input[0] in codes
    ]
    for tensor in found:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            tensor.raw_data = bytes(byte ^ 0x88 for byte in tensor.raw_data)
            continue
        place = {entry.key: entry.value for entry in tensor.external_data}
        offset, length = int(place.get("offset", 0)), int(place["length"])
        data = np.memmap(graph.parent / place["location"], np.uint8, "r+", offset, (length,))
        for start in range(0, length, _CHUNK):
            data[start : start + _CHUNK] ^= 0x88
        data.flush()
    if found:
        onnx.save(model, graph)
    return bool(found)


def read_graph(graph: Path) -> onnx.ModelProto:
    """The graph without the weights that lie beside it."""
    return onnx.load(graph, load_external_data=False)


def _nodes(model: onnx.ModelProto, kind: str) -> Iterator[onnx.NodeProto]:
    return (node for node in model.graph.node if node.op_type == kind)


def _level(node: onnx.NodeProto) -> int:
    return next((a.i for a in node.attribute if a.name == "accuracy_level"), 0)


def _rows_of(value: str, model: onnx.ModelProto) -> int:
    """The first dimension of a value; 0 when the graph does not say."""
    for info in model.graph.value_info:
        if info.name == value and info.type.tensor_type.shape.dim:
            return int(info.type.tensor_type.shape.dim[0].dim_value)
    return 0
