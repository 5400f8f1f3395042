"""Norms that add a number to their weight, as exact as their checkpoint has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from modelpress.api import Checkpoint
from modelpress_plugins.model_builder.graph import read_graph
from modelpress_plugins.tensors.bytes import read_tensor

_SHORT = (torch.bfloat16, torch.float16)


def exact_norms(graph: Path, source: Path, offset: float) -> int:
    """Give the norms of a float32 graph the weights `offset + weight` in float32. How many were not exact.

    The builder of onnxruntime-genai 0.18 adds in the checkpoint's own type: in bfloat16 1 + weight keeps 8
    bits, which put the logits of a small Gemma off by 0.5 %. A norm is known by its numbers: what the builder
    has is what a tensor of the checkpoint gives when it is added as the builder adds.
    """
    model, changed, within = read_graph(graph), 0, False
    rounded = list(_rounded(source, offset))
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) != 1:
            continue
        found = _values(tensor, graph.parent)
        for as_built, exact in rounded:
            if found.size == exact.size and np.array_equal(found, as_built):
                within |= not _write(tensor, graph.parent, exact)
                changed += 1
                break
    if within:
        onnx.save(model, graph)
    return changed


def _rounded(source: Path, offset: float) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """(what the builder makes of a vector of the checkpoint, what it should be), where the two differ."""
    with Checkpoint(source) as checkpoint:
        for name in checkpoint.names():
            if len(checkpoint.info(name).shape) != 1 or not name.endswith(".weight"):
                continue
            weight = read_tensor(checkpoint, name)
            if weight.dtype in _SHORT:
                as_built, exact = (weight + offset).float().numpy(), (weight.float() + offset).numpy()
                if not np.array_equal(as_built, exact):
                    yield as_built, exact


def _values(tensor: TensorProto, folder: Path) -> NDArray[np.float32]:
    return np.array(numpy_helper.to_array(tensor, str(folder)), dtype=np.float32)


def _write(tensor: TensorProto, folder: Path, values: NDArray[np.float32]) -> bool:
    """Put numbers in the place of a tensor's own. False where they lie in the graph, which is to be saved."""
    if tensor.data_location != TensorProto.EXTERNAL:
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        return False
    place = {entry.key: entry.value for entry in tensor.external_data}
    target = np.memmap(
        folder / place["location"], np.float32, "r+", int(place.get("offset", 0)), values.shape
    )
    target[:] = values
    target.flush()
    return True
