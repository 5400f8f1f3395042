"""Tensors that are computed when they are written: codes, scales and zero points of one weight, at once.

Only the codes of the weight under way are held; the weight itself is read by strips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from modelpress_plugins.onnx_graph.graph import STRIP, Array, MadeTensor
from modelpress_plugins.onnx_quantize.blocks import Blocks, Quantizer
from modelpress_plugins.onnx_quantize.weights import Weight

Parts = dict[str, Array]


@dataclass(slots=True)
class Together:
    """Tensors that one computation gives. make: their arrays by name, computed anew when one is asked for
    that was handed out already."""

    make: Callable[[], Parts]
    _ready: Parts = field(default_factory=dict)

    def tensor(self, part: str, name: str, dtype: ir.DataType, shape: tuple[int, ...]) -> MadeTensor:
        """A tensor whose bytes are those of a part, packed where it is of less than a byte. They are let go
        of when they are handed out."""

        def pieces() -> Iterator[memoryview]:
            if part not in self._ready:
                self._ready = self.make()
            data = self._ready.pop(part).reshape(-1).view(np.uint8).data
            for start in range(0, len(data), STRIP):
                yield data[start : start + STRIP]

        return MadeTensor(name, dtype, shape, pieces)


def code_weight(weight: Weight, blocks: Blocks, quantize: Quantizer) -> Parts:
    """packed, scales and zeros (where there are any) of a weight (K, N), strip by strip."""
    inputs, outputs = weight.shape
    packed = np.empty(blocks.packed_shape(inputs, outputs), np.uint8)
    scales = np.empty(blocks.scales_shape(inputs, outputs), weight.float_dtype)
    zeros = None if blocks.symmetric else np.empty(blocks.zeros_shape(inputs, outputs), np.uint8)
    at = byte = 0
    for strip in weight.strips(blocks.strip_rows(outputs)):
        coded = quantize(strip, blocks)
        end = at + coded.packed.shape[1]
        packed[:, at:end], scales[:, at:end] = coded.packed, coded.scales
        if zeros is not None and coded.zeros is not None:
            zeros[:, byte : byte + coded.zeros.shape[1]] = coded.zeros
            byte += coded.zeros.shape[1]
        at = end
    parts = {"packed": packed, "scales": scales.astype(weight.dtype.numpy(), copy=False)}
    return parts if zeros is None else {**parts, "zeros": zeros}
