"""Large weights under the knife: by blocks, so that no more than one block is in memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from modelpress_plugins.graph_surgeries.edit import Array
from modelpress_plugins.onnx_graph.graph import STRIP, MadeTensor, StoredTensor

_BLOCK = 16 * STRIP
"""Bytes of a block of columns: each takes one walk through the whole tensor."""


def row_blocks(tensor: ir.TensorProtocol, nbytes: int = STRIP) -> Iterator[Array]:
    """Some rows at a time of a tensor with two dimensions or more, of a byte an element or more."""
    shape = tensor.shape.numpy()
    step = max(1, nbytes * shape[0] // max(1, tensor.nbytes))
    whole = None if isinstance(tensor, StoredTensor) else np.asarray(tensor.numpy())
    for start in range(0, shape[0], step):
        if isinstance(tensor, StoredTensor):
            yield tensor.rows(start, min(start + step, shape[0]))
        elif whole is not None:
            yield whole[start : start + step]


def column_blocks(tensor: ir.TensorProtocol) -> Iterator[Array]:
    """Some columns at a time of a matrix, turned: (columns, rows)."""
    rows, columns = tensor.shape.numpy()
    step = max(1, _BLOCK * columns // max(1, tensor.nbytes))
    for start in range(0, columns, step):
        parts = [block[:, start : start + step].T for block in row_blocks(tensor)]
        yield np.concatenate(parts, axis=1) if parts else np.empty((0, rows), tensor.dtype.numpy())


def transposed(tensor: ir.TensorProtocol) -> MadeTensor:
    """A matrix with rows and columns changed, made while it is written."""
    rows, columns = tensor.shape.numpy()
    name = f"{tensor.name}_transposed"
    return MadeTensor(
        name, tensor.dtype, (columns, rows), lambda: (np.ascontiguousarray(b) for b in column_blocks(tensor))
    )


def equal(one: ir.TensorProtocol, other: ir.TensorProtocol, flipped: int = 0) -> bool:
    """Whether two tensors have the same bytes, whatever their shapes and types. flipped: bits of each byte of
    the first that are the other way round."""
    if one.nbytes != other.nbytes:
        return False
    turn = bytes(byte ^ flipped for byte in range(256))
    return all(a.translate(turn) == b for a, b in zip(_even(one), _even(other), strict=True))


def equal_transposed(one: ir.TensorProtocol, other: ir.TensorProtocol) -> bool:
    """Whether one matrix is the other with rows and columns changed, to the last bit."""
    if one.dtype != other.dtype or tuple(one.shape) != tuple(other.shape)[::-1]:
        return False
    at = 0
    rows = row_blocks(one, _BLOCK)
    held = np.empty((0, one.shape.numpy()[1]), one.dtype.numpy())
    for block in column_blocks(other):
        while len(held) < len(block):
            held = np.concatenate([held, next(rows)])
        if held[: len(block)].tobytes() != np.ascontiguousarray(block).tobytes():
            return False
        held = held[len(block) :]
        at += len(block)
    return at == one.shape.numpy()[0]


def _even(tensor: ir.TensorProtocol) -> Iterator[bytes]:
    """The bytes of a tensor, in strips of one size."""
    if isinstance(tensor, StoredTensor):
        yield from tensor.pieces()
        return
    whole = tensor.tobytes()
    yield from (whole[start : start + STRIP] for start in range(0, len(whole), STRIP))
