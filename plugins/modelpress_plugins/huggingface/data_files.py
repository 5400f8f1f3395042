"""Data files on this machine, read at their beginning: columns, rows, what is wrong. Light."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from modelpress.api import UserError
from modelpress_plugins.huggingface.data_config import LoadDataset

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
    elif is_resource(files):
        return
    elif isinstance(files, Mapping):
        for value in files.values():
            yield from all_files(value)
    elif files:
        for value in files:
            yield from all_files(value)


def is_resource(value: Any) -> bool:
    """Whether a value is `{type: …}`: something that a plugin has to fetch."""
    return isinstance(value, Mapping) and isinstance(value.get("type"), str)


def split_name(load: LoadDataset) -> str:
    """The split without its slice."""
    return load.split.partition("[")[0]


def look_into(path: Path, kind: str, load: LoadDataset) -> FileFacts:
    """Columns and rows of a file. Raises UserError when it is empty or not what its kind says."""
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty.")
    if kind == "json":
        return _json(path, load.field)
    if kind == "csv":
        return _csv(path, load.delimiter)
    if kind == "text":
        return FileFacts(("text",), _count_lines(path))
    return FileFacts(None, None)


def _json(path: Path, field: str | None) -> FileFacts:
    with path.open(encoding="utf-8-sig") as file:
        start = file.read(4096).lstrip()
    if not start:
        raise UserError(f"{path} is empty.")
    small = path.stat().st_size <= _WHOLE
    if field is None and start[0] != "[":
        return _json_lines(path, count=small)
    if not small:
        return FileFacts(None, None)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}.") from None
    if field is not None:
        if not isinstance(content, dict) or field not in content:
            raise UserError(f"{path} has no key {field!r} (load_dataset_config.field).")
        content = content[field]
    if not isinstance(content, list):
        raise UserError(f"{path} should hold a list of records, not a {type(content).__name__}.")
    return FileFacts(_columns(path, iter(content)), len(content))


def _json_lines(path: Path, *, count: bool) -> FileFacts:
    def records() -> Iterator[Any]:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    try:
                        yield json.loads(line)
                    except ValueError as error:
                        raise UserError(
                            f"{path}:{number} is not valid JSON: {error}.",
                            "The file should be a list of records, or one record a line.",
                        ) from None

    columns = _columns(path, records() if count else islice(records(), _HEAD))
    return FileFacts(columns, sum(1 for _ in records()) if count else None)


def _columns(path: Path, records: Iterator[Any]) -> tuple[str, ...]:
    """All keys, in the order in which they are met."""
    found: dict[str, None] = {}
    number = 0
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise UserError(
                f"Row {number} of {path} should be a record ({{…}}), not a {type(record).__name__}."
            )
        found.update(dict.fromkeys(record))
    if not number:
        raise UserError(f"{path} has no rows.")
    return tuple(found)


def _csv(path: Path, delimiter: str | None) -> FileFacts:
    small = path.stat().st_size <= _WHOLE
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter or ("\t" if path.suffix.lower() == ".tsv" else ","))
        try:
            header = next(reader, [])
            rows = sum(1 for row in reader if row) if small else None
        except csv.Error as error:
            raise UserError(f"{path}:{reader.line_num} cannot be read: {error}.") from None
    if rows == 0:
        raise UserError(f"{path} has a header but no rows.")
    return FileFacts(tuple(header), rows)


def _count_lines(path: Path) -> int | None:
    if path.stat().st_size > _WHOLE:
        return None
    with path.open("rb") as file:
        return sum(1 for _ in file)
