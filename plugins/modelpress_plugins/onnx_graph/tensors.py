"""TensorProto by its bytes: where its weights lie, and how it is written with them elsewhere. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modelpress_plugins.onnx_graph.wire import (
    Bytes,
    DamagedError,
    Field,
    Hole,
    Piece,
    encoded,
    fields,
    key_of,
    message,
    number_in,
    numbers_in,
    text_in,
)

DIMS, DTYPE, FLOATS, RAW, NAME, DOUBLES, EXTERNAL, LOCATION = 1, 2, 4, 9, 8, 10, 13, 14
FLOAT, DOUBLE = 1, 11
BITS: Mapping[int, int] = {
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8),
    **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((7, 11, 13, 14), 64),
    15: 128,
    **dict.fromkeys((21, 22, 23), 4),
    **dict.fromkeys((25, 26), 2),
}
"""Bits of one element, by the number of its type in onnx.proto; text has none."""
DTYPES: Mapping[int, str] = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string",
    9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128",
    16: "bfloat16", 17: "float8e4m3fn", 18: "float8e4m3fnuz", 19: "float8e5m2", 20: "float8e5m2fnuz",
    21: "uint4", 22: "int4", 23: "float4e2m1", 24: "float8e8m0", 25: "uint2", 26: "int2",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """A tensor without its numbers.

    file:   that its bytes lie in, relative to the graph's folder; empty for the graph's own
    offset: of its bytes in that file; -1 when they are not in one piece (numbers as varints)
    nbytes: that lie there; by shape and type where the file does not say
    """

    name: str
    dtype: int
    dims: tuple[int, ...]
    file: str = ""
    offset: int = -1
    nbytes: int = 0
    declared: int = field(default=0, kw_only=True)
    """Bytes that shape and type ask for."""


def tensor_bytes(dtype: int, dims: Sequence[int]) -> int:
    count = 1
    for dim in dims:
        count *= dim
    return -(-count * BITS.get(dtype, 0) // 8)


def read_tensor(data: Bytes, start: int, stop: int) -> TensorFacts:
    dims: list[int] = []
    dtype, name, is_external = 0, "", False
    external: dict[str, str] = {}
    pieces: list[Field] = []
    for found in fields(data, start, stop):
        if found.number == DIMS:
            dims.extend(numbers_in(data, found))
        elif found.number == DTYPE:
            dtype = number_in(data, found)
        elif found.number == NAME:
            name = text_in(data, found)
        elif found.number in (RAW, FLOATS, DOUBLES) and found.wire == 2:
            pieces.append(found)
        elif found.number == EXTERNAL:
            key, value = _entry(data, found)
            external[key] = value
        elif found.number == LOCATION:
            is_external = number_in(data, found) == 1
    needed = tensor_bytes(dtype, dims)
    if is_external:
        offset, length = _place(external, "offset", 0, name), _place(external, "length", needed, name)
        return TensorFacts(
            name, dtype, tuple(dims), external.get("location", ""), offset, length, declared=needed
        )
    piece = pieces[0] if len(pieces) == 1 and _is_plain(pieces[0], dtype) else None
    offset, length = (piece.start, piece.stop - piece.start) if piece else (-1, needed)
    return TensorFacts(name, dtype, tuple(dims), "", offset, length, declared=needed)


def _place(external: Mapping[str, str], key: str, default: int, name: str) -> int:
    told = external.get(key) or str(default)
    if not told.isdigit():
        raise DamagedError(f"{name} has the {key} {told!r}")
    return int(told)


def without_data(data: Bytes, start: int, stop: int, file: str, threshold: int) -> list[Piece] | None:
    """The tensor as it is written when its bytes lie in `file`, where they do lie. None for one that is small
    or external already."""
    facts = read_tensor(data, start, stop)
    if facts.file or facts.offset < 0 or facts.nbytes < threshold:
        return None
    kept = _without(data, start, stop, {RAW, FLOATS, DOUBLES, EXTERNAL, LOCATION})
    place = {"location": file, "offset": str(facts.offset), "length": str(facts.nbytes)}
    entries = b"".join(message(EXTERNAL, _pair(key, value)) for key, value in place.items())
    return [kept + entries + key_of(LOCATION, 0) + encoded(1)]


def with_data(data: Bytes, start: int, stop: int, file: str) -> list[Piece] | None:
    """The tensor with a hole for its bytes, which come later. None for one that does not lie in `file`, where
    `offset` is the number of the hole."""
    facts = read_tensor(data, start, stop)
    if facts.file != file:
        return None
    kept = _without(data, start, stop, {EXTERNAL, LOCATION})
    return [kept + key_of(RAW, 2) + encoded(facts.nbytes), Hole(facts.offset, facts.nbytes)]


def _is_plain(piece: Field, dtype: int) -> bool:
    """Whether the field's bytes are the numbers as memory has them."""
    return piece.number == RAW or (piece.number, dtype) in ((FLOATS, FLOAT), (DOUBLES, DOUBLE))


def _without(data: Bytes, start: int, stop: int, numbers: set[int]) -> bytes:
    return b"".join(data[f.begin : f.stop] for f in fields(data, start, stop) if f.number not in numbers)


def _entry(data: Bytes, found: Field) -> tuple[str, str]:
    pair = {f.number: text_in(data, f) for f in fields(data, found.start, found.stop)}
    return pair.get(1, ""), pair.get(2, "")


def _pair(key: str, value: str) -> bytes:
    return message(1, key.encode()) + message(2, value.encode())
