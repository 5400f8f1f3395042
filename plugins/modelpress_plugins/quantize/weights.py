"""Tensors out of a checkpoint: whole, or some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from modelpress.api import Checkpoint, UserError

TORCH_DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}
FLOATS = ("F16", "BF16", "F32", "F64")

ELEMENTS = 2**22
"""Elements of a row block: 16 MiB as float32."""


def read_tensor(checkpoint: Checkpoint, name: str) -> Tensor:
    """The whole tensor, as it is stored. Raises UserError for a dtype that torch has no arithmetic for."""
    info = checkpoint.info(name)
    if not info.nbytes:
        return torch.empty(info.shape, dtype=_dtype(checkpoint, name))
    buffer = checkpoint.read(name)
    return torch.frombuffer(buffer, dtype=_dtype(checkpoint, name)).view(info.shape)


def read_rows(checkpoint: Checkpoint, name: str, start: int, stop: int) -> Tensor:
    """Rows [start, stop) of a 2-D tensor, as stored."""
    info = checkpoint.info(name)
    dtype = _dtype(checkpoint, name)
    width = info.shape[1] * dtype.itemsize
    buffer = checkpoint.read(name, start * width, stop * width)
    return torch.frombuffer(buffer, dtype=dtype).view(stop - start, info.shape[1])


def read_weight_rows(checkpoint: Checkpoint, name: str, start: int, stop: int) -> Tensor:
    """Rows [start, stop) as float32. Raises UserError, naming the tensor, on NaN or infinity."""
    rows = read_rows(checkpoint, name, start, stop).float()
    check_finite(rows, name)
    return rows


def check_finite(tensor: Tensor, name: str) -> None:
    """Raises UserError, naming the tensor, on NaN or infinity."""
    if tensor.numel() and not all(torch.isfinite(x) for x in torch.aminmax(tensor.detach())):
        count = int((~torch.isfinite(tensor)).sum())
        raise UserError(
            f"Tensor {name} holds {count} values that are NaN or infinite; it cannot be quantized.",
            "The checkpoint is damaged, or training has diverged: use an earlier one.",
        )


def row_blocks(start: int, stop: int, columns: int, elements: int = ELEMENTS) -> Iterator[tuple[int, int]]:
    """Cut rows [start, stop) into blocks of about that many elements."""
    step = max(1, elements // max(1, columns))
    for at in range(start, stop, step):
        yield at, min(at + step, stop)


def as_bytes(tensor: Tensor) -> memoryview:
    """The tensor's memory, for CheckpointWriter.write."""
    return memoryview(tensor.contiguous().view(torch.uint8).numpy())


def _dtype(checkpoint: Checkpoint, name: str) -> torch.dtype:
    stored = checkpoint.info(name).dtype
    if stored not in TORCH_DTYPES:
        raise UserError(f"Tensor {name} has dtype {stored}, expected one of {', '.join(TORCH_DTYPES)}.")
    return TORCH_DTYPES[stored]
