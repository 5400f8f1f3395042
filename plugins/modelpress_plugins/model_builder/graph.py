"""Small changes to a built graph. The weights lie beside it, in external data, and are not touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx

_NODE = "MatMulNBits"
_LOOKUP = "GatherBlockQuantized"


def accuracy_levels(graph: Path) -> set[int]:
    """The levels of its MatMulNBits nodes; empty when it has none."""
    return {_level(node) for node in _nodes(_read(graph), _NODE)}


def set_accuracy_level(graph: Path, level: int) -> None:
    """Give every MatMulNBits node this accuracy_level, as if it had been built with it."""
    model = _read(graph)
    for node in _nodes(model, _NODE):
        kept = [a for a in node.attribute if a.name != "accuracy_level"]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute("accuracy_level", level)])
    onnx.save(model, graph)


def shares_embedding(graph: Path) -> bool:
    """Whether ids are looked up in quantized weights, those of the lm_head."""
    return any(True for _ in _nodes(_read(graph), _LOOKUP))


def attention_windows(graph: Path) -> list[int]:
    """The sliding window of each attention node, in the order of the layers; 0 where it sees everything."""
    nodes = _nodes(_read(graph), "GroupQueryAttention")
    return [next((max(0, a.i) for a in node.attribute if a.name == "local_window_size"), 0) for node in nodes]


def shape_shared_scales(graph: Path) -> bool:
    """Give the scales and zero points of a shared embedding the two dimensions that its lookup wants.

    The builder of onnxruntime-genai 0.18 writes those of a quantized lm_head flat, which the lookup that
    shares them refuses to load ("scales must have the same rank as data"). Whether anything was changed.
    """
    model = _read(graph)
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    changed = False
    for node in _nodes(model, _LOOKUP):
        rows = _rows_of(node.input[0], model)
        for name in node.input[2:]:
            tensor = initializers.get(name)
            if tensor is None or rows == 0 or len(tensor.dims) != 1 or tensor.dims[0] % rows:
                continue
            tensor.dims[:] = [rows, tensor.dims[0] // rows]
            changed = True
    if changed:
        onnx.save(model, graph)
    return changed


def _read(graph: Path) -> onnx.ModelProto:
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
