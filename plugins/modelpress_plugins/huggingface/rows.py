"""Rows of a data set, on disk: loaded with the `datasets` library, chosen by number, cut by content."""

from __future__ import annotations

import hashlib
import json
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Protocol

import datasets  # type: ignore[import-untyped]
import pyarrow as pa  # type: ignore[import-untyped]
from datasets.utils.file_utils import cached_path  # type: ignore[import-untyped]
from pyarrow.dataset import dataset  # type: ignore[import-untyped]

from modelpress.api import DataContext, UserError, content_identity
from modelpress_plugins.huggingface.data_config import Holdout, LoadDataset
from modelpress_plugins.huggingface.data_files import FILE_KINDS, all_files, data_name
from modelpress_plugins.huggingface.file_records import records
from modelpress_plugins.huggingface.hub_table import HubTable, load_hub, unloadable
from modelpress_plugins.huggingface.row_store import RowStore, store_batches, store_records

_BATCH = 1000
_WHOLE = 2.0**64


class Table(Protocol):
    """Rows by number, counting from 0."""

    def __len__(self) -> int: ...

    def rows(self, numbers: Sequence[int]) -> list[Mapping[str, object]]: ...


@dataclass(frozen=True)
class Rows:
    """Rows by number. numbers is None for all rows; else those rows, in that order.

    A streamed data set (an iterable, not a Table) can be read in its own order only, and numbers must then
    ascend.
    """

    name: str
    table: Table | Iterable[Mapping[str, object]]
    numbers: Sequence[int] | None = None
    source: str = ""
    """What decides the content of the table; empty where that cannot be told."""

    def __iter__(self) -> Iterator[tuple[int, Mapping[str, object]]]:
        """(number of the row in the file, counting from 1; the row)."""
        if not isinstance(self.table, Sized):
            yield from self._stream(self.table)
            return
        numbers = self._numbers
        for start in range(0, len(numbers), _BATCH):
            chosen = numbers[start : start + _BATCH]
            for number, row in zip(chosen, self.table.rows(chosen), strict=True):
                yield number + 1, row

    def place(self, number: int) -> str:
        """How a row is called in errors."""
        return f"Row {number} of {self.name}"

    def select(self, numbers: Sequence[int]) -> Rows:
        """Rows by their number in the file, counting from 0."""
        return replace(self, numbers=numbers)

    def shuffled(self, seed: int) -> Rows:
        """The same rows in a random order that the seed alone decides."""
        numbers = array("q", self._numbers)
        Random(seed).shuffle(numbers)
        return self.select(numbers)

    @property
    def identity(self) -> str:
        """What decides the rows and their order; empty where that cannot be told."""
        if self.numbers is None or not self.source:
            return self.source
        chosen = hashlib.blake2b(array("q", self.numbers).tobytes(), digest_size=16)
        return f"{self.source} {chosen.hexdigest()}"

    @property
    def _numbers(self) -> Sequence[int]:
        if self.numbers is not None:
            return self.numbers
        return range(len(self.table)) if isinstance(self.table, Sized) else ()

    def _stream(self, rows: Iterable[Mapping[str, object]]) -> Iterator[tuple[int, Mapping[str, object]]]:
        wanted = None if self.numbers is None else iter(self.numbers)
        following = next(wanted, None) if wanted else None
        for number, row in enumerate(rows):
            if wanted is None:
                yield number + 1, row
            elif following is None:
                return
            elif number == following:
                yield number + 1, row
                following = next(wanted, None)


def load_rows(load: LoadDataset, data: DataContext) -> Rows:
    """Load a data set, converted once into the folder for that. Raises UserError when it cannot be loaded."""
    # It counts downloads with a request to a server, even for a file on this machine.
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    datasets.disable_progress_bars()
    kind = data_name(load)
    if load.data_files and kind in FILE_KINDS:
        return _rows_of_files(load, kind, data)
    return _rows_of_hub(load, kind or "json", data)


def _rows_of_files(load: LoadDataset, kind: str, data: DataContext) -> Rows:
    """The rows of files, as they are written there; the parts of the split one after another."""
    first = next(all_files(load.data_files), "")
    name = Path(first).name
    splits = load.data_files if isinstance(load.data_files, Mapping) else {"train": load.data_files}
    wanted = {part.partition("[")[0] for part in load.split.split("+")}
    if unknown := sorted(wanted - set(splits)):
        raise UserError(f"The data set {name} has no split {unknown[0]!r}.", f"It has: {', '.join(splits)}.")
    tables = {
        split: _file_table([_local(file, name) for file in all_files(splits[split])], kind, load, data)
        for split in sorted(wanted)
    }
    sizes = {split: len(table) for split, table in tables.items()}
    parts = datasets.ReadInstruction.from_spec(load.split).to_absolute(sizes)
    joined = _Joined([(tables[part.splitname], part.from_ or 0, part.to) for part in parts])
    if not len(joined):
        raise UserError(f"The data set {name} has no rows (split {load.split!r}).")
    return Rows(name, joined, source=f"{[table.name for table in tables.values()]} {load.split}")


class _Joined:
    """Parts of tables, one after another. part: (table, its first row, the row after its last or None)."""

    def __init__(self, parts: Sequence[tuple[RowStore, int, int | None]]) -> None:
        self._tables = [table for table, _, _ in parts]
        spans = [range(len(table))[first:end] for table, first, end in parts]
        self._spans = spans
        self._ends = list(accumulate(map(len, spans)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def rows(self, numbers: Sequence[int]) -> list[Mapping[str, object]]:
        if len(self._tables) == 1:
            return self._tables[0].rows([self._spans[0][number] for number in numbers])
        found: list[Mapping[str, object]] = []
        for number in numbers:
            part = bisect_right(self._ends, number)
            inside = number - (self._ends[part - 1] if part else 0)
            found += self._tables[part].rows([self._spans[part][inside]])
        return found


def _file_table(paths: Sequence[Path], kind: str, load: LoadDataset, data: DataContext) -> RowStore:
    """The files' rows, converted once for each content: a file that was replaced is read again, even when its
    time is the old one."""
    damage = f"What was converted of {paths[0].name} is damaged: it is converted again."
    told = [kind, load.field, load.delimiter, [(content_identity(p), p.suffix) for p in paths]]
    store = data.folder / hashlib.blake2b(json.dumps(told).encode(), digest_size=8).hexdigest()
    if kind in ("parquet", "arrow"):
        return _typed_table(paths, kind, store, lambda: data.note(damage))

    def read() -> Iterator[str]:
        for path in paths:
            yield from records(path, kind, field=load.field, delimiter=load.delimiter)

    return store_records(store, read, lambda: data.note(damage))


def _typed_table(paths: Sequence[Path], kind: str, store: Path, on_damage: Callable[[], None]) -> RowStore:
    try:
        found = dataset(paths, format="parquet" if kind == "parquet" else "ipc")
        return store_batches(store, lambda: found.schema, found.to_batches, on_damage)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise unloadable(paths[0].name, error) from error


def _local(file: str, name: str) -> Path:
    """A file on this machine; what is elsewhere is fetched."""
    if "://" not in file:
        return Path(file)
    try:
        return Path(cached_path(file))
    except (OSError, ValueError) as error:
        raise unloadable(name, error) from error


def _rows_of_hub(load: LoadDataset, kind: str, data: DataContext) -> Rows:
    name = kind if kind not in FILE_KINDS else str(load.data_dir)
    loaded = load_hub(load, kind, data.folder / "hub", data.note)
    if load.streaming:
        return Rows(name, loaded)
    if not len(loaded):
        raise UserError(f"The data set {name} has no rows (split {load.split!r}).")
    return Rows(name, HubTable(loaded), source=f"{name} {loaded._fingerprint}")


def holdout_part(rows: Rows, holdout: Holdout) -> Rows:
    """The part of the rows that the hash of their content puts on the wanted side."""

    def content(row: Mapping[str, object], place: str) -> str:
        if missing := [column for column in holdout.by or () if column not in row]:
            raise UserError(f"{place} has no {missing[0]!r}, which holdout.by names.")
        chosen = row if holdout.by is None else {column: row[column] for column in holdout.by}
        return json.dumps(chosen, sort_keys=True, default=str)

    bound = int(holdout.share * _WHOLE)
    numbers = array("q")
    for number, row in rows:
        held = _digest(content(row, rows.place(number)), holdout.seed) < bound
        if held == (holdout.part == "eval"):
            numbers.append(number - 1)
    if not numbers:
        raise UserError(
            f"No row of {rows.name} falls into the part {holdout.part!r}.", "Change the share or seed."
        )
    return rows.select(numbers)


def split_rows(
    rows: Rows, content: Callable[[Mapping[str, object], str], str], eval_size: float, seed: int
) -> tuple[Rows, Rows]:
    """(train, eval), cut so that rows of equal content are on one side. See DataSource.split."""
    numbers, digests = array("q"), array("Q")
    for number, row in rows:
        numbers.append(number - 1)
        digests.append(_digest(content(row, rows.place(number)), seed))
    wanted = round(eval_size * len(numbers)) if eval_size < 1 else int(eval_size)
    held = _held_out(digests, max(1, wanted), rows.name)
    train = array("q", (n for n, digest in zip(numbers, digests, strict=True) if digest not in held))
    evaluation = array("q", (n for n, digest in zip(numbers, digests, strict=True) if digest in held))
    return rows.select(train), rows.select(evaluation)


def _held_out(digests: Sequence[int], wanted: int, name: str) -> set[int]:
    """Contents that make up the wanted number of rows, or just above it; never all contents."""
    counts: dict[int, int] = {}
    for digest in digests:
        counts[digest] = counts.get(digest, 0) + 1
    if wanted >= len(digests) or len(counts) < 2:
        raise UserError(
            f"{wanted} rows cannot be held out of {name}: it has {len(digests)} rows, {len(counts)} of them "
            "distinct.",
            "Lower eval_dataset_size.",
        )
    held: set[int] = set()
    rows = 0
    for digest in sorted(counts)[:-1]:
        if rows >= wanted:
            break
        held.add(digest)
        rows += counts[digest]
    return held


def _digest(content: str, seed: int) -> int:
    """64 bits that depend on content and seed, and on nothing else."""
    hashed = hashlib.blake2b(content.strip().encode(), digest_size=8, key=str(seed).encode())
    return int.from_bytes(hashed.digest(), "big")
