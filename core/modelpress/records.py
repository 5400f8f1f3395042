"""Frozen dataclasses as JSON files and back (serialize, validate): the one way for jobs, results and errors.

A file says of what form it is (`{"version": 1, …}`), so that another version of modelpress reads it or says
that it cannot, and never half of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from modelpress.files import sealed, unsealed, write_whole
from modelpress.json_types import JSONValue
from modelpress.secrets import redact

T = TypeVar("T")

VERSION = 1
"""Raise it when a record's fields change their meaning."""


def to_json(record: object) -> dict[str, JSONValue]:
    """The fields of a dataclass as JSON values, dataclasses in it too; what JSON does not have, as text."""
    values: dict[str, JSONValue] = _adapter(type(record)).dump_python(record, mode="json", fallback=str)
    return values


def from_json(cls: type[T], values: object) -> T:
    """The dataclass again. Raises ValueError that says which field is wrong, and how."""
    try:
        return _adapter(cls).validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None


def write_record(path: Path, record: object) -> None:
    """Write a file of one record; whole or not at all."""
    write_whole(path, sealed(json.loads(redact(json.dumps({"version": VERSION, **to_json(record)})))))


def read_record(cls: type[T], path: Path) -> T:
    """Read a file of one record. Raises OSError, or ValueError when it is damaged or of another version."""
    values = unsealed(path.read_bytes())
    version = values.pop("version", None)
    if version != VERSION:
        raise ValueError(f"it is of version {version}, this modelpress reads version {VERSION}")
    return from_json(cls, values)


_adapters: dict[type, TypeAdapter[Any]] = {}


def _adapter(cls: type[T]) -> TypeAdapter[T]:
    if cls not in _adapters:
        _adapters[cls] = TypeAdapter(cls)
    return _adapters[cls]
