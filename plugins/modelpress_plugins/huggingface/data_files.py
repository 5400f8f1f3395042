"""Data files on this machine, read at their beginning: columns, rows, what is wrong. Light."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from modelpress.api import ResourceRef, UserError
from modelpress_plugins.huggingface.data_config import LoadDataset
from modelpress_plugins.huggingface.file_records import records

FILE_KINDS = ("json", "csv", "text", "parquet", "arrow")
"""Values of data_name that mean files rather than a data set on the hub."""

_BY_SUFFIX = {
    **{".json": "json", ".jsonl": "json", ".ndjson": "json"},
    **{".csv": "csv", ".tsv": "csv", ".txt": "text", ".md": "text"},
    **{".parquet": "parquet", ".arrow": "arrow"},
}
_WHOLE = 16 * 2**20  # bytes up to which a file is read to its end
_HEAD = 100  # records looked at in a larger one


@dataclass(frozen=True, slots=True)
class FileFacts:
    """columns: None when they cannot be told; rows: None when counting them would take long."""

    columns: tuple[str, ...] | None
    rows: int | None


def data_name(load: LoadDataset) -> str | None:
    """data_name as written, or by the suffix of the data files; None when neither tells."""
    if load.data_name:
        return load.data_name
    first = next(iter(all_files(load.data_files)), "")
    return _BY_SUFFIX.get(Path(first).suffix.lower())


def files_of_split(load: LoadDataset) -> list[str]:
    """The files (or URLs) of the wanted split."""
    files = load.data_files
    if isinstance(files, Mapping):
        files = files.get(split_name(load), [])
    return list(all_files(files))


def all_files(files: Any) -> Iterator[str]:
    """Every file in a value of data_files. A resource that has not been fetched has none."""
    if isinstance(files, str):
        yield files
    elif isinstance(files, ResourceRef):
        return
    elif isinstance(files, Mapping):
        for value in files.values():
            yield from all_files(value)
    elif files:
        for value in files:
            yield from all_files(value)


def any_elsewhere(files: Any) -> bool:
    """Whether any of the files is a resource that was not fetched yet."""
    if isinstance(files, Mapping):
        files = list(files.values())
    if isinstance(files, list):
        return any(any_elsewhere(each) for each in files)
    return isinstance(files, ResourceRef)


def split_name(load: LoadDataset) -> str:
    """The split without its slice."""
    return load.split.partition("[")[0]


def look_into(
    path: Path, kind: str, load: LoadDataset, see: Callable[[Mapping[str, object], str], None]
) -> FileFacts:
    """Columns and rows of a file; of a large one the columns of its first rows. Raises UserError when it is
    empty or not what its kind says.

    see: called with each row that is looked at, and what it is called in errors
    """
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty.")
    if kind in ("parquet", "arrow"):
        return FileFacts(None, None)
    small = path.stat().st_size <= _WHOLE
    if load.field is not None and not small:
        return FileFacts(None, None)
    found = records(path, kind, field=load.field, delimiter=load.delimiter)
    columns: dict[str, None] = {}
    count = 0
    for record in found if small else islice(found, _HEAD):
        row = json.loads(record)
        columns.update(dict.fromkeys(row))
        count += 1
        see(row, f"Row {count} of {path.name}")
    if not count:
        raise UserError(f"{path} has no rows.")
    return FileFacts(tuple(columns), count if small else None)
