"""Records of data files as they are written there: no number is rewritten, no text becomes a number.

`00123` stays `00123`, `1E5` stays `1E5`, and `3` beside `3.5` stays `3`. Libraries that guess a type for each
column (pandas, pyarrow) lose that, and refuse files whose rows differ in shape.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from modelpress.api import UserError, refusal

_CHUNK = 2**20
_DECODER = json.JSONDecoder()
_WHITESPACE = re.compile(r"\s*")
_OPENERS: dict[str, Callable[..., IO[str]]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # the default refuses a cell above 131,072 characters


class Number(float):
    """A number of a JSON file together with the text that stands for it there."""

    __slots__ = ("text",)
    text: str

    @staticmethod
    def read(text: str) -> Number:
        number = Number(text)
        number.text = text
        return number


def read_record(text: str) -> dict[str, object]:
    """Parse a record that `json_records` gave: numbers with a fraction or an exponent keep their text."""
    record: dict[str, object] = json.loads(
        text, parse_float=Number.read, parse_int=_integer, parse_constant=str
    )
    return record


def _integer(text: str) -> int | str:
    try:
        number = int(text)
    except ValueError:  # more digits than Python turns into a number
        return text
    return number if str(number) == text else Number.read(text)  # type: ignore[return-value]  # `-0`


def records(
    path: Path, kind: str, *, field: str | None = None, delimiter: str | None = None
) -> Iterator[str]:
    """Each record of a json, csv or text file, in order, as one JSON object.

    field:     the key of a JSON object that holds the list of records
    delimiter: what parts the cells of a csv file; unset: a tab for .tsv, else a comma

    Raises UserError, naming file and line, for what is not of that kind.
    """
    try:
        if kind == "csv":
            yield from _csv_records(path, delimiter or ("\t" if ".tsv" in path.suffixes else ","))
        elif kind == "text":
            with _open(path) as file:
                yield from (json.dumps({"text": line.rstrip("\r\n")}) for line in file)
        else:
            yield from _json_records(path, field)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 text: {error.reason} (byte {error.object[error.start]:#04x}).",
            "Save the file as UTF-8.",
        ) from None
    except (EOFError, OSError) as error:
        raise UserError(*refusal(f"{path} cannot be read", error, "Get the file again.")) from error


def _open(path: Path, **options: object) -> IO[str]:
    opener = _OPENERS.get(path.suffix.lower(), open)
    file: IO[str] = opener(path, "rt", encoding="utf-8-sig", **options)
    return file


def _csv_records(path: Path, delimiter: str) -> Iterator[str]:
    with _open(path, newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            header = next(reader, [])
            for cells in reader:
                if not cells:
                    continue
                if len(cells) > len(header):
                    raise UserError(
                        f"{path}:{reader.line_num} has {len(cells)} cells, but the header has {len(header)}.",
                        "Put a cell that holds the delimiter into quotes.",
                    )
                yield json.dumps(dict(zip(header, cells, strict=False)), ensure_ascii=False)
        except csv.Error as error:
            raise UserError(f"{path}:{reader.line_num} cannot be read: {error}.") from None


def _json_records(path: Path, field: str | None) -> Iterator[str]:
    if field is not None:
        yield from _records_of_field(path, field)
        return
    with _open(path) as file:
        first = next((line.lstrip() for line in file if line.strip()), "")
    read = _listed_records if first.startswith("[") else _line_records
    yield from read(path)


def _line_records(path: Path) -> Iterator[str]:
    """One record a line; or one record that goes over the whole file."""
    with _open(path) as file:
        for number, line in enumerate(file, start=1):
            text = line.strip()
            if text:
                try:
                    record = json.loads(text)
                except ValueError as error:
                    raise UserError(
                        f"{path}:{number} is not valid JSON: {error}.",
                        "The file should be a list of records, or one record a line.",
                    ) from None
                yield _checked(record, text, path, number)


def _listed_records(path: Path) -> Iterator[str]:
    """The records of `[{…}, {…}]`, a chunk of the file at a time."""
    number = 0
    with _open(path) as file:
        buffer, at, ended = file.read(_CHUNK), 0, False
        expected = "["
        while True:
            at = _blank(buffer, at)
            if buffer.startswith("]", at) and expected != "[":
                _require_end(path, buffer[at + 1 :] + file.read(_CHUNK))
                return
            if buffer.startswith(expected, at) and at < len(buffer):
                start = _blank(buffer, at + len(expected))
                closes = expected == "[" and buffer.startswith("]", start)
                try:
                    record, end = (None, start) if closes else _DECODER.raw_decode(buffer, start)
                except ValueError:
                    end = -1
                if end >= 0:
                    if not closes:
                        number += 1
                        yield _checked(record, buffer[start:end], path, number)
                    at, expected = end, ","
                    continue
            if ended:
                raise UserError(
                    f"{path} is not valid JSON: it breaks off or goes wrong at record {number + 1}."
                )
            more = file.read(max(_CHUNK, len(buffer) - at))
            buffer, at, ended = buffer[at:] + more, 0, not more


def _blank(text: str, at: int) -> int:
    """The place of the first character from `at` on that is no white space."""
    found = _WHITESPACE.match(text, at)
    return found.end() if found else at


def _require_end(path: Path, rest: str) -> None:
    if rest.strip():
        raise UserError(f"{path} is not valid JSON: there is more after the list of records.")


def _records_of_field(path: Path, field: str) -> Iterator[str]:
    with _open(path) as file:
        try:
            document = json.load(file, parse_float=Number.read, parse_int=_integer, parse_constant=str)
        except ValueError as error:
            raise UserError(f"{path} is not valid JSON: {error}.") from None
    if not isinstance(document, dict) or field not in document:
        raise UserError(f"{path} has no key {field!r} (load_dataset_config.field).")
    if not isinstance(document[field], list):
        raise UserError(
            f"{field!r} of {path} should be a list of records, not a {type(document[field]).__name__}."
        )
    for number, record in enumerate(document[field], start=1):
        yield _checked(record, _written(record), path, number)


def _written(value: object) -> str:
    """A parsed value as JSON again, each number as it was written."""
    if isinstance(value, Number):
        return value.text
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)}: {_written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _checked(record: object, text: str, path: Path, number: int) -> str:
    if not isinstance(record, dict):
        raise UserError(
            f"Row {number} of {path} should be a record ({{…}}), not a {type(record).__name__}.",
            "The file should be a list of records, or one record a line.",
        )
    return text
