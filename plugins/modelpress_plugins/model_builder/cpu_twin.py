"""A built model as this CPU can compute it, so that what is for another machine can be compared here.

Same weights, same graph, but for what onnxruntime's CPU kernels lack: bfloat16 becomes float32 (each value is
kept), norms of queries and keys that GroupQueryAttention does itself stand before it, and products of
quantized weights are computed in float32, so that no shortcut of this CPU's kernels counts.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, helper

from modelpress_plugins.model_builder.graph import give_accuracy_level, read_graph

_ATTENTION = "GroupQueryAttention"
_Q_NORM, _K_NORM = 14, 15  # among its inputs, from onnxruntime 1.28 on
_DATA = "twin.data"


def make_cpu_twin(folder: Path, graph: str, out: Path) -> Path:
    """Write the twin of the model in `folder` to `out`, which is made. graph: the file's name. Weights that
    stay as they are share the disk's blocks where the file system allows."""
    out.mkdir(parents=True)
    for file in sorted(folder.iterdir()):
        if file.name != graph:
            _link(file, out / file.name)
    model = read_graph(folder / graph)
    give_accuracy_level(model, 0)
    _norms_before_attention(model.graph)
    with (out / _DATA).open("wb") as data:
        for tensor in _tensors(model.graph):
            if tensor.data_type == TensorProto.BFLOAT16:
                _widen(tensor, folder, data)
    _retype(model.graph)
    onnx.save(model, out / graph)
    return out


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _norms_before_attention(graph: GraphProto) -> None:
    nodes: list[NodeProto] = []
    sizes = {tensor.name: tensor.dims[-1] for tensor in graph.initializer if tensor.dims}
    for node in graph.node:
        if node.op_type == _ATTENTION and len(node.input) > _K_NORM and node.input[1]:
            epsilon = next((a.f for a in node.attribute if a.name == "qk_norm_epsilon"), 1e-6)
            for index, norm in ((0, _Q_NORM), (1, _K_NORM)):
                weight = node.input[norm]
                nodes += _normed(graph, node, index, weight, sizes[weight], epsilon)
            del node.input[_Q_NORM:]
            kept = [a for a in node.attribute if a.name != "qk_norm_epsilon"]
            del node.attribute[:]
            node.attribute.extend(kept)
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _normed(
    graph: GraphProto, attention: NodeProto, index: int, weight: str, size: int, epsilon: float
) -> Iterator[NodeProto]:
    """Nodes that norm each head of an input (batch, tokens, heads * size); it becomes their output."""
    name = f"{attention.name}/twin_norm_{index}"
    for part, shape in (("heads", [0, 0, -1, size]), ("flat", [0, 0, -1])):
        graph.initializer.append(
            helper.make_tensor(f"{name}/{part}_shape", TensorProto.INT64, [len(shape)], shape)
        )
    yield helper.make_node("Reshape", [attention.input[index], f"{name}/heads_shape"], [f"{name}/heads"])
    yield helper.make_node(
        "SimplifiedLayerNormalization",
        [f"{name}/heads", weight],
        [f"{name}/normed"],
        epsilon=epsilon,
        axis=-1,
        stash_type=1,
    )
    yield helper.make_node("Reshape", [f"{name}/normed", f"{name}/flat_shape"], [f"{name}/flat"])
    attention.input[index] = f"{name}/flat"


def _widen(tensor: TensorProto, folder: Path, data: BinaryIO) -> None:
    """bfloat16 to float32; what lay in a file beside the graph goes to `data`."""
    tensor.data_type = TensorProto.FLOAT
    if tensor.data_location != TensorProto.EXTERNAL:
        words = np.frombuffer(tensor.raw_data, np.uint16) if tensor.raw_data else np.array(tensor.int32_data)
        del tensor.int32_data[:]
        tensor.raw_data = (words.astype(np.uint32) << 16).tobytes()
        return
    place = {entry.key: entry.value for entry in tensor.external_data}
    words = np.fromfile(
        folder / place["location"],
        np.uint16,
        int(place["length"]) // 2,
        offset=int(place.get("offset", 0)),
    )
    offset = data.seek(-data.tell() % 64, os.SEEK_CUR)
    (words.astype(np.uint32) << 16).tofile(data)
    data.flush()
    del tensor.external_data[:]
    told = {"location": _DATA, "offset": offset, "length": 2 * int(place["length"])}
    for key, value in told.items():
        tensor.external_data.add(key=key, value=str(value))


def _retype(graph: GraphProto) -> None:
    """Where the graph says bfloat16, let it say float32."""
    for info in (*graph.input, *graph.output, *graph.value_info):
        if info.type.tensor_type.elem_type == TensorProto.BFLOAT16:
            info.type.tensor_type.elem_type = TensorProto.FLOAT
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.i == TensorProto.BFLOAT16:
                attribute.i = TensorProto.FLOAT
            for inner in _graphs(attribute):
                _retype(inner)


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            for inner in _graphs(attribute):
                yield from _tensors(inner)


def _graphs(attribute: AttributeProto) -> Iterable[GraphProto]:
    return (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs)
