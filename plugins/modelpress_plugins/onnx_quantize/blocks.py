"""Weights in blocks of bits, as MatMulNBits and GatherBlockQuantized of onnxruntime hold them.

A weight of MatMul is (K, N): K inputs, N outputs. Blocks of `size` weights lie along K and share a scale; a
strip is a run of whole rows that holds whole blocks, and whole bytes of packed zero points, so that strips
can be quantized apart and give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from modelpress_plugins.onnx_graph.graph import Array

Bytes: TypeAlias = npt.NDArray[np.uint8]

STRIP_ELEMENTS = 2**22
"""Elements of a strip: 16 MiB as float32."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """bits: 2, 4 or 8. size: weights that share a scale, a power of two of 16 or more.
    symmetric: without zero points."""

    bits: int
    size: int
    symmetric: bool

    @property
    def cosine(self) -> float:
        """What outputs before and after have at least: two bits leave four levels for a block."""
        return 0.5 if self.bits == 2 else 0.9

    @property
    def per_byte(self) -> int:
        return 8 // self.bits

    def along(self, inputs: int) -> int:
        """Blocks along K."""
        return -(-inputs // self.size)

    def packed_shape(self, inputs: int, outputs: int) -> tuple[int, int, int]:
        return outputs, self.along(inputs), self.size // self.per_byte

    def scales_shape(self, inputs: int, outputs: int) -> tuple[int, int]:
        return outputs, self.along(inputs)

    def zeros_shape(self, inputs: int, outputs: int) -> tuple[int, int]:
        return outputs, -(-self.along(inputs) // self.per_byte)

    def strip_rows(self, outputs: int, elements: int = STRIP_ELEMENTS) -> int:
        """Rows of a strip: whole blocks, whole bytes of zero points, about that many elements."""
        step = self.size * self.per_byte
        return max(1, elements // (step * max(1, outputs))) * step


class Coded(NamedTuple):
    """A weight, or a strip of one, in codes.

    packed: (N, blocks, size / per_byte); scales: (N, blocks), of the weight's dtype; zeros: (N, bytes), None
    on a symmetric grid
    """

    packed: Bytes
    scales: Array
    zeros: Bytes | None


Quantizer: TypeAlias = Callable[[Array, Blocks], Coded]
"""Quantize a strip, (rows, N) float32 or float16; whole blocks, but for the last one of the weight."""


def padded(strip: Array, size: int) -> Array:
    """With rows of zeros below, up to whole blocks."""
    lacking = -strip.shape[0] % size
    return np.pad(strip, ((0, lacking), (0, 0))) if lacking else np.ascontiguousarray(strip)


def pack(codes: Bytes, bits: int) -> Bytes:
    """Codes (…, n), one a byte -> (…, ceil(n / per byte)), the first in the lowest bits. A byte that is not
    full ends with zeros."""
    per_byte = 8 // bits
    if per_byte == 1:
        return codes
    lacking = -codes.shape[-1] % per_byte
    if lacking:
        codes = np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, lacking)])
    packed = codes[..., 0::per_byte].copy()
    for place in range(1, per_byte):
        packed |= codes[..., place::per_byte] << np.uint8(bits * place)
    return packed


def unpack(packed: Bytes, bits: int) -> Bytes:
    """The reverse of pack: (…, n) -> (…, n * per byte), uint8."""
    per_byte = 8 // bits
    if per_byte == 1:
        return packed
    shifts = np.arange(per_byte, dtype=np.uint8) * np.uint8(bits)
    codes = (packed[..., None] >> shifts) & np.uint8(2**bits - 1)
    return codes.reshape(*packed.shape[:-1], -1)
