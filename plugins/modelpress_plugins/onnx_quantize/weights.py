"""A weight of a graph, read by strips of rows, wherever its bytes lie."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from modelpress_plugins.onnx_graph.graph import Array, StoredTensor

FLOATS = frozenset({ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16})


@dataclass(frozen=True, slots=True)
class Weight:
    """tensor: of two dimensions, or with leading ones of size 1; its rows lie one after the other."""

    tensor: ir.TensorProtocol

    @property
    def dtype(self) -> ir.DataType:
        return self.tensor.dtype

    @property
    def float_dtype(self) -> np.dtype[np.generic]:
        """What is computed in: float16 as it is, bfloat16 as float32."""
        return np.dtype(np.float32) if self.dtype == ir.DataType.BFLOAT16 else self.dtype.numpy()

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)"""
        *_, rows, columns = self.tensor.shape.numpy()
        return rows, columns

    def strips(self, rows: int) -> Iterator[Array]:
        """The weight from its first row to its last, so many rows at a time, (rows, columns)."""
        total, _ = self.shape
        for start in range(0, total, rows):
            yield self.rows(start, min(start + rows, total))

    def rows(self, start: int, stop: int) -> Array:
        """Some rows, in memory of their own where they lie in a file."""
        columns = self.shape[1]
        if isinstance(self.tensor, StoredTensor):
            row = columns * self.dtype.numpy().itemsize
            read = np.frombuffer(self.tensor.read(start * row, stop * row), self.dtype.numpy())
        else:
            read = self.tensor.numpy().reshape(-1)[start * columns : stop * columns]
        return read.reshape(stop - start, columns).astype(self.float_dtype, copy=False)


def as_matrix(value: ir.Value | None) -> Weight | None:
    """An initializer of floats with two dimensions (leading ones of size 1 do not count); else None."""
    tensor = value.const_value if value is not None else None
    if tensor is None or tensor.dtype not in FLOATS:
        return None
    shape = tensor.shape.numpy()
    fits = len(shape) >= 2 and math.prod(shape[:-2]) == 1 and 0 not in shape
    return Weight(tensor) if fits else None
