"""Rows converted once: an Arrow file, mapped into memory, whose digest is checked when it is opened.

FOLDER/rows.arrow    a column `record` with one JSON object a row, or a typed file's own columns
FOLDER/complete.json the digest of rows.arrow; written last
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]

from modelpress_plugins.huggingface.file_records import read_record
from modelpress_plugins.huggingface.sealed_folder import open_or_make

_BATCH = 10_000
_RECORD = pa.schema([("record", pa.large_string())])


class RowStore:
    """Rows by number, read where they lie. name: that of its folder, which stands for its content."""

    def __init__(self, name: str, table: pa.Table) -> None:
        self.name = name
        self._table = table
        self._as_json = table.schema == _RECORD

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def rows(self, numbers: Sequence[int]) -> list[Mapping[str, object]]:
        """The rows with these numbers, counting from 0."""
        chosen = self._table.take(pa.array(numbers, pa.int64()))
        if self._as_json:
            return [read_record(text) for text in chosen.column(0).to_pylist()]
        found: list[Mapping[str, object]] = chosen.to_pylist()
        return found


def store_records(
    folder: Path, records: Callable[[], Iterator[str]], on_damage: Callable[[], None]
) -> RowStore:
    """The store in the folder, made of JSON objects where it is not there or damaged."""

    def batches() -> Iterator[pa.RecordBatch]:
        source = records()
        while texts := list(islice(source, _BATCH)):
            yield pa.record_batch([pa.array(texts, pa.large_string())], schema=_RECORD)

    return _open_or_make(folder, lambda: _RECORD, batches, on_damage)


def store_batches(
    folder: Path,
    schema: Callable[[], pa.Schema],
    batches: Callable[[], Iterable[pa.RecordBatch]],
    on_damage: Callable[[], None],
) -> RowStore:
    """The store in the folder, made of typed batches where it is not there or damaged."""
    return _open_or_make(folder, schema, batches, on_damage)


def _open_or_make(
    folder: Path,
    schema: Callable[[], pa.Schema],
    batches: Callable[[], Iterable[pa.RecordBatch]],
    on_damage: Callable[[], None],
) -> RowStore:
    def write(fresh: Path) -> None:
        with (
            pa.OSFile(str(fresh / "rows.arrow"), "wb") as sink,
            pa.ipc.new_file(sink, schema()) as writer,
        ):
            for batch in batches():
                writer.write_batch(batch)

    open_or_make(folder, write, on_damage)
    with pa.memory_map(str(folder / "rows.arrow")) as source:
        return RowStore(folder.name, pa.ipc.open_file(source).read_all())
