"""Write weights as safetensors files, a piece at a time: the other half of modelpress.checkpoint.

The writer knows the whole layout beforehand and puts each piece where it belongs; files appear under their
names when all of them are whole.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Self

from modelpress.checkpoint import (
    CHUNK,
    DISK_FULL,
    DTYPE_BITS,
    Checkpoint,
    TensorFacts,
    TensorInfo,
    tensor_bytes,
    tensor_info,
)
from modelpress.errors import PassError
from modelpress.files import move
from modelpress.machine import refusal
from modelpress.sizes import parse_size

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

DEFAULT_SHARD_SIZE = "5GB"
DEFAULT_METADATA: Mapping[str, str] = MappingProxyType({"format": "pt"})


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
        metadata: Mapping[str, str] = DEFAULT_METADATA,
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

    @staticmethod
    def size_of(
        tensors: Iterable[tuple[str, str, Sequence[int]]], max_shard_size: int | str = DEFAULT_SHARD_SIZE
    ) -> int:
        """Bytes that a writer's files would have, their headers counted, the index left out."""
        shards = _plan_shards(list(tensors), parse_size(max_shard_size), "model", dict(DEFAULT_METADATA))
        return sum(shard.size for shard in shards)

    def write(self, name: str, buffer: ReadableBuffer) -> None:
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
            buffer = memoryview(bytearray(min(CHUNK, info.nbytes - done)))
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
                move(self._folder / _part(name), self._folder / name)
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
        if error.errno in DISK_FULL:
            return self._disk_full()
        return PassError(*refusal(f"{self._folder} cannot be written", error))


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
        nbytes = tensor_bytes(dtype, shape)
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
    header: dict[str, TensorFacts] = {}
    offset = 0
    for name, dtype, shape in ordered:
        end = offset + tensor_bytes(dtype, shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    whole = {"__metadata__": metadata, **header} if metadata else header
    text = json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    placed = [tensor_info(Path(file), name, facts, 8 + len(text)) for name, facts in header.items()]
    return _Shard(file, struct.pack("<Q", len(text)) + text, tuple(placed))


def _free_bytes(folder: Path) -> int:
    existing = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    return shutil.disk_usage(existing).free


def _part(name: str) -> str:
    return f".{name}.part"


def _write_all(file: FileIO, view: memoryview) -> None:
    done = 0
    while done < len(view):
        done += file.write(view[done : done + CHUNK])
