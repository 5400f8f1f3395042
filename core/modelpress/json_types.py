"""What JSON can hold, for type checkers. Where code runs these are any object: pydantic would look through
each value, and records hold what was JSON already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypedDict

if TYPE_CHECKING:
    Scalar: TypeAlias = str | int | float | bool | None
    JSONValue: TypeAlias = Scalar | Sequence["JSONValue"] | Mapping[str, "JSONValue"]
else:
    Scalar = JSONValue = object


JSONSchema = TypedDict(
    "JSONSchema",
    {
        "$schema": str,
        "$ref": str,
        "$defs": "dict[str, JSONSchema]",
        "type": str,
        "description": str,
        "title": str,
        "default": JSONValue,
        "enum": "Sequence[JSONValue]",
        "const": JSONValue,
        "minimum": float,
        "exclusiveMinimum": float,
        "maximum": float,
        "exclusiveMaximum": float,
        "properties": "dict[str, JSONSchema]",
        "required": "list[str]",
        "additionalProperties": "bool | JSONSchema",
        "minItems": int,
        "maxItems": int,
        "items": "JSONSchema",
        "anyOf": "list[JSONSchema]",
        "allOf": "list[JSONSchema]",
        "if": "JSONSchema",
        "then": "JSONSchema",
    },
    total=False,
)
"""The parts of a JSON Schema that are read or written here."""
