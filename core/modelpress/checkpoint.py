"""Weights in safetensors files, read and written as bytes, a piece at a time.

A checkpoint is one file or several with an index. Neither side ever holds more than the caller asks for:
`Checkpoint` reads what is wanted of a tensor, `CheckpointWriter` knows the whole layout beforehand and puts
each piece where it belongs. No torch, no numpy: a dtype is its safetensors name (`BF16`), a value is bytes.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from math import prod
from pathlib import Path
from threading import Lock
from types import MappingProxyType, TracebackType
from typing import Any, Self

from modelpress.errors import PassError, UserError

DTYPE_BITS: Mapping[str, int] = MappingProxyType(
    {
        **{"BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8},
        **{"F8_E5M2FNUZ": 8, "F8_E4M3FNUZ": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6},
        **{"I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32},
        **{"I64": 64, "U64": 64, "F64": 64, "C64": 64},
    }
)
"""Bits of one element, by the name that safetensors gives the dtype."""

DEFAULT_SHARD_SIZE = "5GB"

_CHUNK = 16 * 2**20
_LARGEST_HEADER = 100_000_000  # the limit of the safetensors library itself
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT if hasattr(errno, "EDQUOT") else errno.ENOSPC, errno.EFBIG}


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
            file.seek(info.start + start)
            done = 0
            while done < len(buffer):
                count = file.readinto(buffer[done:])
                if not count:
                    raise UserError(f"{info.file} ends inside tensor {name}.", "It was changed while in use.")
                done += count

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
                if error.errno in _DISK_FULL:
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
        tensors = [_tensor_info(file, name, facts, 8 + length) for name, facts in header.items()]
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(_damaged(file, str(error)), _RESTORE) from None
    tensors.sort(key=lambda t: (t.start, t.end))
    _check_layout(file, tensors, 8 + length, size)
    return metadata, tensors


class CheckpointWriter:
    """Write a checkpoint whose tensors, dtypes and shapes are known beforehand.

        with CheckpointWriter(folder, [("a", "F32", (2, 2))]) as writer:
            writer.write("a", first_half)
            writer.write("a", second_half)

    The files get their names at `close`; until then, and after an error, none of them exists. Tensors may
    be written in any order, the declared one being fastest; the pieces of one tensor from front to back.
    The same calls give the same bytes.

    max_shard_size: bytes, or text like "500MB", "5GB", "2GiB"; a larger tensor gets a file of its own.
    stem: the files' name: `model` gives `model.safetensors` or `model-00001-of-00003.safetensors` + index.

    Raises PassError when the disk is full, also beforehand where that can be seen.
    Nothing is flushed to the disk itself: the commit of an artifact does that once for all its files.
    """

    def __init__(
        self,
        folder: Path | str,
        tensors: Iterable[tuple[str, str, Sequence[int]]],
        max_shard_size: int | str = DEFAULT_SHARD_SIZE,
        metadata: Mapping[str, str] = MappingProxyType({"format": "pt"}),
        stem: str = "model",
    ) -> None:
        self._folder = Path(folder)
        self._stem = stem
        self._shards = _plan_shards(list(tensors), parse_size(max_shard_size), stem, dict(metadata))
        self._place = {t.name: (shard, t) for shard in self._shards for t in shard.tensors}
        self._done: dict[str, int] = dict.fromkeys(self._place, 0)
        self._open_files: dict[str, FileIO] = {}
        self._started: set[str] = set()
        self._named: set[str] = set()
        self._closed = False
        self.nbytes = sum(shard.size for shard in self._shards)
        """Bytes of all files together, the index left out."""
        self._check_room()

    def write(self, name: str, buffer: Any) -> None:
        """Add bytes to a tensor. buffer: anything with the buffer protocol, contiguous.

        Raises ValueError for more bytes than the tensor has.
        """
        view = memoryview(buffer).cast("B") if memoryview(buffer).nbytes else memoryview(b"")
        file, _ = self._at(name, len(view))
        try:
            _write_all(file, view)
        except OSError as error:
            raise self._failed(error) from error
        self._done[name] += len(view)

    def copy(self, source: Checkpoint, name: str, to: str | None = None) -> None:
        """Copy a whole tensor as it is from another checkpoint; to: its name here, where that differs."""
        info = source.info(name)
        file, tensor = self._at(to or name, info.nbytes)
        if (info.dtype, info.shape) != (tensor.dtype, tensor.shape):
            raise ValueError(f"{name} is {info.dtype} {info.shape}, declared {tensor.dtype} {tensor.shape}")
        try:
            done = source.copy_within_kernel(name, file)
            buffer = memoryview(bytearray(min(_CHUNK, info.nbytes - done)))
            while done < info.nbytes:
                piece = buffer[: info.nbytes - done]
                source.read_into(name, piece, done)
                _write_all(file, piece)
                done += len(piece)
        except OSError as error:
            raise self._failed(error) from error
        self._done[to or name] += info.nbytes

    def close(self) -> None:
        """Give the files their names and write the index. Raises PassError when bytes are missing."""
        if self._closed:
            return
        short = [n for n, done in self._done.items() if done < self._place[n][1].nbytes]
        if short:
            self.abort()
            raise PassError(f"{len(short)} tensors were not written to their end, first {short[0]}.")
        try:
            for shard in self._shards:
                self._open(shard)  # a shard of empty tensors only has not been opened yet
                self._open_files.pop(shard.file).close()
            if len(self._shards) > 1:
                self._write_index()
            for name in sorted(self._started):
                self._named.add(name)
                os.replace(self._folder / _part(name), self._folder / name)
        except OSError as error:
            raise self._failed(error) from error
        self._closed = True

    def abort(self) -> None:
        """Remove what was written."""
        self._closed = True
        for file in self._open_files.values():
            file.close()
        self._open_files.clear()
        for name in self._started:
            (self._folder / _part(name)).unlink(missing_ok=True)
        for name in self._named:
            (self._folder / name).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _at(self, name: str, count: int) -> tuple[FileIO, TensorInfo]:
        """The opened file, placed where the tensor's next byte belongs."""
        if self._closed:
            raise ValueError("the writer is closed")
        shard, tensor = self._place[name]
        if self._done[name] + count > tensor.nbytes:
            raise ValueError(f"{name} has {tensor.nbytes} bytes, given {self._done[name] + count}")
        file = self._open(shard)
        file.seek(tensor.start + self._done[name])
        return file, tensor

    def _open(self, shard: _Shard) -> FileIO:
        if shard.file not in self._open_files:
            self._started.add(shard.file)
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                file = (self._folder / _part(shard.file)).open("wb", buffering=0)
                self._open_files[shard.file] = file
                file.write(shard.header)
            except OSError as error:
                raise self._failed(error) from error
        return self._open_files[shard.file]

    def _write_index(self) -> None:
        index = {
            "metadata": {"total_size": sum(t.nbytes for s in self._shards for t in s.tensors)},
            "weight_map": {name: shard.file for name, (shard, _) in self._place.items()},
        }
        name = f"{self._stem}.safetensors.index.json"
        self._started.add(name)
        text = json.dumps(index, indent=2, sort_keys=True) + "\n"
        (self._folder / _part(name)).write_text(text, encoding="utf-8")

    def _check_room(self) -> None:
        if self.nbytes > _free_bytes(self._folder):
            raise self._disk_full()

    def _disk_full(self) -> PassError:
        free = _free_bytes(self._folder)
        return PassError(
            f"The disk is full: the weights need {self.nbytes:,} bytes in {self._folder}, {free:,} are free.",
            "Free some space, or put the cache on a larger disk. Nothing half-written was left.",
        )

    def _failed(self, error: OSError) -> PassError:
        """Clean up after a failed write; the error to raise."""
        self.abort()
        if error.errno in _DISK_FULL:
            return self._disk_full()
        return PassError(f"Writing {self._folder} failed: {error.strerror or error}.")


def parse_size(size: int | str) -> int:
    """Bytes from 5000000000, "5GB" (10^9), "5GiB" (2^30), "500MB". Raises UserError otherwise."""
    if isinstance(size, int):
        value, unit = float(size), ""
    else:
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?i?B?)\s*", size, re.IGNORECASE)
        value, unit = (float(match[1]), match[2].upper()) if match else (0.0, "")
    if value <= 0 or unit not in _UNITS:
        raise UserError(f"{size!r} is no size.", 'Write bytes as a number, or text like "500MB" or "5GB".')
    return int(value * _UNITS[unit])


@dataclass(frozen=True, slots=True)
class _Shard:
    """One file to be written: its name, its header with the length before it, its tensors in place."""

    file: str
    header: bytes
    tensors: tuple[TensorInfo, ...]

    @property
    def size(self) -> int:
        return len(self.header) + sum(t.nbytes for t in self.tensors)


def _plan_shards(
    tensors: list[tuple[str, str, Sequence[int]]], limit: int, stem: str, metadata: dict[str, str]
) -> list[_Shard]:
    groups: list[list[tuple[str, str, Sequence[int]]]] = [[]]
    filled, seen = 0, set()
    for name, dtype, shape in tensors:
        if name in seen:
            raise ValueError(f"tensor {name} is declared twice")
        seen.add(name)
        nbytes = _nbytes(dtype, shape)
        if groups[-1] and filled + nbytes > limit:
            groups.append([])
            filled = 0
        groups[-1].append((name, dtype, shape))
        filled += nbytes
    names = [f"{stem}-{i:05d}-of-{len(groups):05d}.safetensors" for i in range(1, len(groups) + 1)]
    if len(groups) == 1:
        names = [f"{stem}.safetensors"]
    return [_lay_out(name, group, metadata) for name, group in zip(names, groups, strict=True)]


def _lay_out(file: str, tensors: list[tuple[str, str, Sequence[int]]], metadata: dict[str, str]) -> _Shard:
    # Widest elements first, else in the given order: every tensor is then aligned to its element.
    ordered = sorted(tensors, key=lambda t: -DTYPE_BITS[t[1]])
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    offset = 0
    for name, dtype, shape in ordered:
        end = offset + _nbytes(dtype, shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    placed = [
        _tensor_info(Path(file), name, facts, 8 + len(text))
        for name, facts in header.items()
        if name != "__metadata__"
    ]
    return _Shard(file, struct.pack("<Q", len(text)) + text, tuple(placed))


_RESTORE = "Get the file again, or save the model again as safetensors."


def _damaged(file: Path, what: str) -> str:
    return f"{file} is not a whole safetensors file: {what}."


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice in its header")
    return found


def _nbytes(dtype: str, shape: Sequence[int]) -> int:
    if dtype not in DTYPE_BITS:
        raise ValueError(f"dtype {dtype} is not known")
    bits = prod(shape) * DTYPE_BITS[dtype]
    if bits % 8:
        raise ValueError(f"{dtype} {tuple(shape)} does not fill whole bytes")
    return bits // 8


def _tensor_info(file: Path, name: str, facts: Mapping[str, Any], data: int) -> TensorInfo:
    """data: where the header ends. Raises ValueError when size and shape do not agree."""
    shape = tuple(facts["shape"])
    begin, end = facts["data_offsets"]
    if not all(isinstance(n, int) and n >= 0 for n in (*shape, begin, end)):
        raise ValueError(f"tensor {name} has a negative or fractional size")
    if end - begin != _nbytes(facts["dtype"], shape):
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
            "If you trust it, load it with transformers and save_pretrained() it: that writes safetensors.",
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


def _free_bytes(folder: Path) -> int:
    existing = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    return shutil.disk_usage(existing).free


def _part(name: str) -> str:
    return f".{name}.part"


def _write_all(file: FileIO, view: memoryview) -> None:
    done = 0
    while done < len(view):
        done += file.write(view[done : done + _CHUNK])
