"""The protobuf wire format, as far as an ONNX file needs it: walk its fields, leave weights out, put them in.

A graph's structure is small and its weights are not. Walked over a memory map, the pages of the weights are
never touched, whether they lie in the file itself or beside it. Light: the standard library alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias, overload


class Bytes(Protocol):
    """bytes, or a memory map."""

    @overload
    def __getitem__(self, index: int, /) -> int: ...
    @overload
    def __getitem__(self, index: slice, /) -> bytes: ...


class DamagedError(ValueError):
    """The bytes are no protobuf message, or the file is cut."""


class Field(NamedTuple):
    """One field of a message. begin: of its key; start, stop: of its content, in bytes of the file.
    wire: 0 a varint, 1 and 5 fixed, 2 bytes with a length."""

    number: int
    wire: int
    begin: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Hole:
    """Bytes that are written later: those of a tensor. name: its place in the caller's list."""

    index: int
    nbytes: int


Piece: TypeAlias = bytes | Hole


def varint(data: Bytes, position: int, stop: int) -> tuple[int, int]:
    """(value, position after it)."""
    value = shift = 0
    while position < stop and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise DamagedError("a number has no end")


def fields(data: Bytes, start: int, stop: int) -> Iterator[Field]:
    """The fields of the message between start and stop. Raises DamagedError when one leads out of it."""
    position = start
    while position < stop:
        begin = position
        key, position = varint(data, position, stop)
        number, wire = key >> 3, key & 7
        if wire == 0:
            _, end = varint(data, position, stop)
        elif wire == 2:
            length, position = varint(data, position, stop)
            end = position + length
        elif wire in (1, 5):
            end = position + (8 if wire == 1 else 4)
        else:
            raise DamagedError(f"there is no wire type {wire}")
        if end > stop or number == 0:
            raise DamagedError(f"{end - stop:,} bytes are missing" if number else "there is no field 0")
        yield Field(number, wire, begin, position, end)
        position = end


def number_in(data: Bytes, field: Field) -> int:
    """The value of a varint, as int64."""
    value, _ = varint(data, field.start, field.stop)
    return value - (1 << 64) if value >> 63 else value


def numbers_in(data: Bytes, field: Field) -> Iterator[int]:
    """The values of a repeated varint: one of them, or packed ones."""
    position = field.start
    while position < field.stop:
        value, position = varint(data, position, field.stop)
        yield value - (1 << 64) if value >> 63 else value


def text_in(data: Bytes, field: Field) -> str:
    return data[field.start : field.stop].decode("utf-8", "replace")


def encoded(value: int) -> bytes:
    """A varint. value: not negative."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def key_of(number: int, wire: int) -> bytes:
    return encoded(number << 3 | wire)


def message(number: int, content: bytes) -> bytes:
    """A field with a length: text, bytes, a message."""
    return key_of(number, 2) + encoded(len(content)) + content


def length_of(pieces: list[Piece]) -> int:
    return sum(piece.nbytes if isinstance(piece, Hole) else len(piece) for piece in pieces)


TensorEdit: TypeAlias = Callable[[Bytes, int, int], list[Piece] | None]
"""(data, start, stop of a TensorProto) -> what to write in its place, or None to leave it."""

_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR = "model", "graph", "node", "attribute", "tensor"
_BELOW: Mapping[str, Mapping[int, str]] = {
    _MODEL: {7: _GRAPH},
    _GRAPH: {1: _NODE, 5: _TENSOR},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH},
}
"""Where, in onnx.proto, a tensor can lie: message -> field -> message."""


def edit_tensors(data: Bytes, size: int, edit: TensorEdit) -> list[Piece]:
    """A ModelProto with some of its tensors written otherwise, those of subgraphs and attributes too."""
    return _edited(data, 0, size, _MODEL, edit) or [data[0:size]]


def _edited(data: Bytes, start: int, stop: int, kind: str, edit: TensorEdit) -> list[Piece] | None:
    """None when nothing in it has changed."""
    if kind == _TENSOR:
        return edit(data, start, stop)
    below, pieces, copied = _BELOW[kind], list[Piece](), start
    for field in fields(data, start, stop):
        inner = below.get(field.number)
        if inner is None or field.wire != 2:
            continue
        new = _edited(data, field.start, field.stop, inner, edit)
        if new is None:
            continue
        pieces.append(data[copied : field.begin] + key_of(field.number, 2) + encoded(length_of(new)))
        pieces.extend(new)
        copied = field.stop
    if copied == start:
        return None
    pieces.append(data[copied:stop])
    return pieces
