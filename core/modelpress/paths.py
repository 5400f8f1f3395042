"""Values inside nested options: replace one at a path, make local paths absolute."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import TypeVar

from modelpress.identity import named_path
from modelpress.json_types import JSONValue
from modelpress.markers import LocalPath, marks
from modelpress.markers import Path as ValuePath
from modelpress.options import Options

O = TypeVar("O", bound=Options)  # noqa: E741 - the letter that stands for options


def value_at(values: JSONValue, path: ValuePath) -> JSONValue:
    """The value at a path. Raises LookupError when there is none."""
    for part in path:
        if isinstance(values, dict):
            values = values[str(part)]
        elif isinstance(values, list) and isinstance(part, int):
            values = values[part]
        else:
            raise LookupError(part)
    return values


def put_at(
    values: JSONValue, path: ValuePath, value: JSONValue, whole: JSONValue, *, spread: bool = False
) -> None:
    """Replace the value at a path. Where the way there is missing, it is taken from `whole`.

    spread: the value is a list, whose items take the place of an item of a list.
    """
    *way, last = path
    for part in way:
        whole = value_at(whole, (part,))
        if isinstance(values, dict):
            values = values.setdefault(str(part), deepcopy(whole))
        elif isinstance(values, list) and isinstance(part, int):
            values = values[part]
    if isinstance(values, dict):
        values[str(last)] = value
    elif isinstance(values, list) and isinstance(last, int):
        values[last : last + 1] = value if spread and isinstance(value, list) else [value]


def each_text(value: JSONValue, change: Callable[[str], JSONValue]) -> JSONValue:
    """The value with every text in it changed; keys stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [each_text(child, change) for child in value]
    if isinstance(value, dict):
        return {key: each_text(child, change) for key, child in value.items()}
    return value


def with_local_paths(options: O, folder: Path) -> O:
    """The options with every LocalPath absolute, counted from the folder."""
    found = [mark.path for mark in marks(type(options), options, LocalPath)]
    if not found:
        return options
    whole = options.canonical()
    values = options.model_dump(mode="json", exclude_unset=True)
    for path in found:
        absolute = each_text(value_at(whole, path), lambda text: str(named_path(text, folder)))
        if absolute != value_at(whole, path):
            put_at(values, path, absolute, whole)
    return type(options).parse(values)
