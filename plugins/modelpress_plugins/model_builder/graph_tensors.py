"""Numbers of a graph's initializers, some rows at a time, however and wherever they are stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor


class UnknownGraphError(Exception):
    """It has what is not known here; the message says what."""


def read_rows(folder: Path, tensor: TensorProto, rows: int, start: int, stop: int) -> Tensor:
    """(stop - start, …) of an initializer taken as so many rows; only they are read. folder: the graph's."""
    if tensor.data_location != TensorProto.EXTERNAL:
        return torch.from_numpy(numpy_helper.to_array(tensor).reshape(rows, -1)[start:stop].copy())
    place = {entry.key: entry.value for entry in tensor.external_data}
    kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    columns = int(place["length"]) // kind.itemsize // rows
    offset = int(place.get("offset", 0)) + start * columns * kind.itemsize
    data = np.fromfile(folder / place["location"], kind, (stop - start) * columns, offset=offset)
    if data.dtype.kind not in "fu":  # bfloat16 of ml_dtypes
        data = data.astype(np.float32)
    return torch.from_numpy(data.reshape(stop - start, columns))
