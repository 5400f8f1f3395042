"""A checkpoint's bytes as torch tensors, and back. Shared by the passes that change weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from modelpress.api import Checkpoint, PassError

TORCH_DTYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {
        "BOOL": torch.bool,
        "U8": torch.uint8,
        "I8": torch.int8,
        "I16": torch.int16,
        "I32": torch.int32,
        "I64": torch.int64,
        "F8_E4M3": torch.float8_e4m3fn,
        "F8_E5M2": torch.float8_e5m2,
        "F8_E8M0": torch.float8_e8m0fnu,
        "F16": torch.float16,
        "BF16": torch.bfloat16,
        "F32": torch.float32,
        "F64": torch.float64,
    }
)
"""torch's dtype by the name that safetensors gives it."""

SAFETENSORS_NAMES: Mapping[torch.dtype, str] = MappingProxyType({v: k for k, v in TORCH_DTYPES.items()})

FLOATS = frozenset({"F16", "BF16", "F32", "F64"})
"""Floating dtypes that can be computed with after a cast; the 8-bit ones carry scales elsewhere."""


def read_tensor(checkpoint: Checkpoint, name: str, rows: slice | None = None) -> Tensor:
    """A tensor, or some of its rows (along the first dimension, step 1), in memory of its own.

    Raises KeyError when the checkpoint has no such tensor, PassError for a dtype that torch lacks.
    """
    info = checkpoint.info(name)
    dtype = torch_dtype(info.dtype, name)
    if rows is None or not info.shape:
        return from_bytes(checkpoint.read(name), dtype, info.shape)
    start, stop, _ = rows.indices(info.shape[0])
    row = info.nbytes // max(1, info.shape[0])
    shape = (max(0, stop - start), *info.shape[1:])
    return from_bytes(checkpoint.read(name, start * row, stop * row), dtype, shape)


def from_bytes(data: memoryview | bytearray, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    """A tensor over the bytes, without a copy: the tensor keeps them alive and may change them."""
    if not len(data):
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(data, dtype=dtype).view(shape)


def as_bytes(tensor: Tensor) -> memoryview:
    """The tensor's bytes in row order; without a copy when it is contiguous."""
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().data


def torch_dtype(name: str, tensor: str) -> torch.dtype:
    """torch's dtype for a safetensors name. Raises PassError, naming the tensor, when torch has none."""
    if name not in TORCH_DTYPES:
        raise PassError(f"Tensor {tensor} has dtype {name}, which cannot be computed with.")
    return TORCH_DTYPES[name]


def is_finite(tensor: Tensor) -> bool:
    """Whether no value is NaN or inf. Their sum is looked at first: it is the quickest pass over them."""
    if not tensor.numel() or math.isfinite(float(tensor.sum())):
        return True
    low, high = (float(v) for v in torch.aminmax(tensor))  # or the sum alone was too large
    return math.isfinite(low) and math.isfinite(high)


def check_finite(tensor: Tensor, name: str, dtype: torch.dtype | None = None) -> None:
    """Raise PassError, naming the tensor, if it holds NaN or inf, or would when rounded to dtype.

    One pass over the values and no copy, unlike torch.isfinite.
    """
    if not tensor.numel():
        return
    low, high = (float(v) for v in torch.aminmax(tensor))
    limit = torch.finfo(dtype or tensor.dtype).max
    if not (low >= -limit and high <= limit):  # also false for NaN
        found = (
            f"a value of {max(abs(low), abs(high)):g}, past the largest {dtype}"
            if low - low + high - high == 0
            else "NaN or inf"
        )
        raise PassError(f"Tensor {name} holds {found}.", "Check the model that it comes from.")
