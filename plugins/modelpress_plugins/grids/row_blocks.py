"""A weight out of a checkpoint, some rows at a time, ready to be computed with."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from modelpress.api import Checkpoint
from modelpress_plugins.tensors.bytes import check_finite, read_tensor

ELEMENTS = 2**22
"""Elements of a row block: 16 MiB as float32."""


def read_weight_rows(checkpoint: Checkpoint, name: str, start: int, stop: int) -> Tensor:
    """Rows [start, stop) as float32. Raises PassError, naming the tensor, on NaN or infinity."""
    rows = read_tensor(checkpoint, name, slice(start, stop)).float()
    check_finite(rows, name)
    return rows


def row_blocks(start: int, stop: int, columns: int, elements: int = ELEMENTS) -> Iterator[tuple[int, int]]:
    """Cut rows [start, stop) into blocks of about that many elements."""
    step = max(1, elements // max(1, columns))
    for at in range(start, stop, step):
        yield at, min(at + step, stop)
