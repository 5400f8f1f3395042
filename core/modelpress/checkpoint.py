"""Weights in safetensors files, read and written as bytes, a piece at a time.

A checkpoint is one file or several with an index. Neither side ever holds more than the caller asks for:
`Checkpoint` reads what is wanted of a tensor; `CheckpointWriter`, in modelpress.checkpoint_writer, puts each
piece where it belongs. No torch, no numpy: a dtype is its safetensors name (`BF16`), a value is bytes.
"""

from __future__ import annotations

import errno
import json
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from math import prod
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Self, TypedDict

from modelpress.errors import UserError
from modelpress.machine import refusal

DTYPE_BITS: Mapping[str, int] = MappingProxyType(
    {
        **{"BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8},
        **{"F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6},
        **{"I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32},
        **{"I64": 64, "U64": 64, "F64": 64, "C64": 64},
    }
)
"""Bits of one element, by the name that safetensors gives the dtype."""

CHUNK = 16 * 2**20
DISK_FULL = {errno.ENOSPC, errno.EDQUOT if hasattr(errno, "EDQUOT") else errno.ENOSPC, errno.EFBIG}
_LARGEST_HEADER = 100_000_000  # the limit of the safetensors library itself
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


class TensorFacts(TypedDict):
    """What the header of a safetensors file says of a tensor."""

    dtype: str
    shape: Sequence[int]
    data_offsets: Sequence[int]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where a tensor lies: bytes [start, end) of the file, counted from the file's beginning."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    end: int

    @property
    def nbytes(self) -> int:
        return self.end - self.start


class Checkpoint:
    """The weights in a folder (`<stem>.safetensors`, or its shards and index), or in one file.

    Opening reads the headers only and checks them. Raises UserError, naming the file, when there is no
    safetensors checkpoint or it is damaged. Threads may share one.
    """

    def __init__(self, path: Path | str, stem: str = "model") -> None:
        self.path = Path(path)
        self.metadata: dict[str, str] = {}
        """What the first file's header carries under `__metadata__`."""
        self._open_files: dict[Path, FileIO] = {}
        self._lock = Lock()
        self._tensors: dict[str, TensorInfo] = {}
        promised = _locate(self.path, stem)
        self.files: tuple[Path, ...] = tuple(promised)
        """The files that hold the tensors, in the order of their names."""
        for file, names in promised.items():
            self._add(file, names)

    def names(self) -> tuple[str, ...]:
        """Every tensor, in the order in which they lie in the files: reading in this order is fastest."""
        return tuple(self._tensors)

    def info(self, name: str) -> TensorInfo:
        """Raises KeyError when there is no such tensor."""
        return self._tensors[name]

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __len__(self) -> int:
        return len(self._tensors)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(t.nbytes for t in self._tensors.values())

    def read(self, name: str, start: int = 0, stop: int | None = None) -> memoryview:
        """Bytes [start, stop) of a tensor, in memory of their own, which the caller may change.

        Not a memory map: the pages of a map count as the process's memory until they are given back.
        """
        info = self._tensors[name]
        end = info.nbytes if stop is None else min(stop, info.nbytes)
        view = memoryview(bytearray(max(0, end - start)))
        self.read_into(name, view, start)
        return view

    def read_into(self, name: str, buffer: memoryview, start: int = 0) -> None:
        """Fill the buffer (of bytes) with the tensor's bytes from `start` on; saves making a new one."""
        info = self._tensors[name]
        with self._lock:
            file = self._open(info.file)
        done = 0
        while done < len(buffer):
            count = self._read_at(file, buffer[done:], info.start + start + done)
            if not count:
                raise UserError(f"{info.file} ends inside tensor {name}.", "It was changed while in use.")
            done += count

    def _read_at(self, file: FileIO, buffer: memoryview, offset: int) -> int:
        """Bytes read, 0 at the end of the file. Threads read side by side where the platform can."""
        if hasattr(os, "preadv"):
            return os.preadv(file.fileno(), [buffer], offset)
        with self._lock:
            file.seek(offset)
            return file.readinto(buffer) or 0

    def copy_within_kernel(self, name: str, target: FileIO) -> int:
        """Copy a tensor to where an opened file stands, without its bytes passing through this process.

        Returns how many bytes were copied: fewer than there are, or 0, where the platform or the file systems
        cannot; the file then stands behind them.
        """
        if not hasattr(os, "copy_file_range"):
            return 0
        info = self._tensors[name]
        with self._lock:
            source = self._open(info.file).fileno()
        offset, done = target.tell(), 0
        while done < info.nbytes:
            try:
                copied = os.copy_file_range(
                    source, target.fileno(), info.nbytes - done, info.start + done, offset + done
                )
            except OSError as error:
                if error.errno in DISK_FULL:
                    raise
                break  # across file systems, or one that cannot
            if not copied:
                break
            done += copied
        target.seek(offset + done)
        return done

    def _open(self, path: Path) -> FileIO:
        if path not in self._open_files:
            self._open_files[path] = path.open("rb", buffering=0)
        return self._open_files[path]

    def close(self) -> None:
        for file in self._open_files.values():
            file.close()
        self._open_files.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _add(self, file: Path, promised: Iterable[str]) -> None:
        metadata, tensors = read_header(file)
        self.metadata = self.metadata or metadata
        for tensor in tensors:
            if other := self._tensors.get(tensor.name):
                raise UserError(f"Tensor {tensor.name} is in both {other.file.name} and {file}.")
            self._tensors[tensor.name] = tensor
        for name in promised:
            if name not in self._tensors or self._tensors[name].file != file:
                raise UserError(f"{file} lacks tensor {name}, which the index says it holds.")


def read_header(file: Path) -> tuple[dict[str, str], list[TensorInfo]]:
    """(metadata, tensors in the order in which they lie) of one safetensors file, checked.

    Raises UserError when the file is cut, is no safetensors file, or its parts overlap.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = struct.unpack("<Q", stream.read(8).ljust(8, b"\0"))[0]
            if size < 8 or length > min(_LARGEST_HEADER, size):
                raise UserError(_damaged(file, f"its header should be {length} bytes of {size}"), _RESTORE)
            header = json.loads(stream.read(length), object_pairs_hook=_no_repeats)
        if not isinstance(header, dict):
            raise ValueError("the header is no JSON object")
        metadata = header.pop("__metadata__", None) or {}
        tensors = [tensor_info(file, name, facts, 8 + length) for name, facts in header.items()]
    except OSError as error:
        raise UserError(*refusal(f"{file} cannot be read", error)) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(_damaged(file, str(error)), _RESTORE) from None
    tensors.sort(key=lambda t: (t.start, t.end))
    _check_layout(file, tensors, 8 + length, size)
    return metadata, tensors


_RESTORE = "Get the file again, or save the model again as safetensors."


def _damaged(file: Path, what: str) -> str:
    return f"{file} is not a whole safetensors file: {what}."


def _no_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice in its header")
    return found


def tensor_bytes(dtype: str, shape: Sequence[int]) -> int:
    if dtype not in DTYPE_BITS:
        raise ValueError(f"dtype {dtype} is not known")
    bits = prod(shape) * DTYPE_BITS[dtype]
    if bits % 8:
        raise ValueError(f"{dtype} {tuple(shape)} does not fill whole bytes")
    return bits // 8


def tensor_info(file: Path, name: str, facts: TensorFacts, data: int) -> TensorInfo:
    """data: where the header ends. Raises ValueError when size and shape do not agree."""
    shape = tuple(facts["shape"])
    begin, end = facts["data_offsets"]
    if not all(isinstance(n, int) and n >= 0 for n in (*shape, begin, end)):
        raise ValueError(f"tensor {name} has a negative or fractional size")
    if end - begin != tensor_bytes(facts["dtype"], shape):
        raise ValueError(f"tensor {name} has {end - begin} bytes, its shape {list(shape)} needs others")
    return TensorInfo(name, facts["dtype"], shape, file, data + begin, data + end)


def _check_layout(file: Path, tensors: list[TensorInfo], data: int, size: int) -> None:
    at = data
    for tensor in tensors:
        if tensor.start != at:
            what = "overlaps another" if tensor.start < at else "leaves a gap before it"
            raise UserError(_damaged(file, f"tensor {tensor.name} {what}"), _RESTORE)
        at = tensor.end
    if at != size:
        raise UserError(_damaged(file, f"it has {size:,} bytes, its header needs {at:,}"), _RESTORE)


def _locate(path: Path, stem: str) -> dict[Path, list[str]]:
    """The files of a checkpoint, each with the tensors that the index says it holds."""
    if path.is_file() and path.suffix == ".safetensors":
        return {path: []}
    if not path.is_dir():
        raise UserError(f"{path} is neither a folder nor a .safetensors file.")
    if (path / f"{stem}.safetensors").is_file():
        return {path / f"{stem}.safetensors": []}
    index = path / f"{stem}.safetensors.index.json"
    if index.is_file():
        return _read_index(index)
    if pickles := sorted(p.name for pattern in _PICKLES for p in path.glob(pattern)):
        raise UserError(
            f"{path} has its weights as a pickle only ({pickles[0]}); a pickle can run any code.",
            "If you trust it, load it with its library and save_pretrained() it: that writes safetensors.",
        )
    raise UserError(f"{path} has no {stem}.safetensors and no {index.name}.", "Is it the model's own folder?")


def _read_index(index: Path) -> dict[Path, list[str]]:
    try:
        weight_map = json.loads(index.read_bytes())["weight_map"]
        by_file: dict[Path, list[str]] = {}
        for name, file in weight_map.items():
            if Path(file).name != file:
                raise ValueError(f"it names a file outside its folder, {file!r}")
            by_file.setdefault(index.parent / file, []).append(name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{index} is not a usable index: {error}.", _RESTORE) from None
    for file in by_file:
        if not file.is_file():
            raise UserError(f"{index} names {file.name}, which is not there.", "Get the missing file.")
    return dict(sorted(by_file.items()))
