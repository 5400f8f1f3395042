"""What JSON and YAML can hold, for type checkers: nothing imports this module where code runs."""

from __future__ import annotations

from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool | None
JSONValue: TypeAlias = "Scalar | list[JSONValue] | dict[str, JSONValue]"
JSONObject: TypeAlias = "dict[str, JSONValue]"
