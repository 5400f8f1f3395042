"""Is what a plugin returned what its contract says? The contract is the Protocol itself, read at run time."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping, Sequence
from functools import cache
from typing import (
    Any,
    Literal,
    Protocol,
    SupportsFloat,
    SupportsIndex,
    TypeGuard,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from modelpress import contracts, specs
from modelpress.options import Options

_KINDS = {kind.kind: kind for kind in specs.Spec.__subclasses__()}


@cache
def contract_of(kind: str, field: str) -> object:
    """The type of what a spec's reference gives when it is called. kind: `pass` …; field: `plan` …"""
    # What specs.py imports for type checkers only.
    names = {**vars(specs), "contracts": contracts, "Options": Options}
    (protocol,) = get_args(get_type_hints(_KINDS[kind], names)[field])
    return get_type_hints((get_origin(protocol) or protocol).__call__)["return"]


def what_is_wrong(value: object, expected: object, place: str = "") -> str:
    """Empty when the value is of the type; else what it is instead, as the object of `it returned …`.

    expected: None, a class, a union, a Literal, a Protocol (its members have to be there), a dataclass (its
    fields are looked at too), or a Sequence, Mapping or tuple of such. A float has to be finite.
    """
    origin, arguments = get_origin(expected), get_args(expected)
    if expected is None or expected is types.NoneType:
        return "" if value is None else _instead(value, "None", place)
    if expected in (Any, object) or isinstance(expected, TypeVar):
        return ""
    if origin in (Union, types.UnionType):
        return _none_fits(value, arguments, place)
    if origin is Literal:
        return "" if value in arguments else _instead(value, " or ".join(map(repr, arguments)), place)
    if origin is not None:
        return _wrong_container(value, origin, arguments, place)
    if expected in (int, float):
        return _wrong_number(value, expected, place)
    if _is_protocol(expected):
        return _lacking(value, expected, place)
    if not (isinstance(expected, type) and isinstance(value, expected)):
        return _instead(value, _name(expected), place)
    return _wrong_fields(value, place) if dataclasses.is_dataclass(value) else ""


def _none_fits(value: object, alternatives: Sequence[object], place: str) -> str:
    wrong = [what_is_wrong(value, alternative, place) for alternative in alternatives]
    if not all(wrong):
        return ""
    for alternative, told in zip(alternatives, wrong, strict=True):
        # What is nearly right tells more than what else there might have been.
        if isinstance(alternative, type) and isinstance(value, alternative):
            return told
    return _instead(value, " or ".join(_name(alternative) for alternative in alternatives), place)


def _wrong_container(value: object, origin: type, arguments: Sequence[object], place: str) -> str:
    if isinstance(value, str) or not isinstance(value, origin):
        return _instead(value, f"a {origin.__name__.lower()}", place)
    if isinstance(value, Mapping):
        key_type, value_type = arguments
        for key, item in value.items():
            wrong = what_is_wrong(key, key_type, f"a key of {place or 'it'}")
            wrong = wrong or what_is_wrong(item, value_type, f"{place}[{key!r}]" if place else f"{key!r}")
            if wrong:
                return wrong
    elif isinstance(value, Sequence):
        for number, item in enumerate(value):
            wrong = what_is_wrong(item, arguments[0], f"{place}[{number}]")
            if wrong:
                return wrong
    return ""


def _wrong_number(value: object, expected: type[int | float], place: str) -> str:
    """numpy's and torch's numbers count as numbers."""
    is_number = not isinstance(value, bool | str | bytes)
    if expected is int:
        return "" if is_number and isinstance(value, SupportsIndex) else _instead(value, "an int", place)
    if not (is_number and isinstance(value, SupportsFloat)):
        return _instead(value, "a float", place)
    return "" if math.isfinite(float(value)) else _instead(value, "a finite number", place)


def _lacking(value: object, protocol: type, place: str) -> str:
    lacking = [name for name in _members(protocol) if not hasattr(value, name)]
    if not lacking:
        return ""
    return _instead(value, f"a {protocol.__name__}, which has {', '.join(lacking)}", place)


def _wrong_fields(value: object, place: str) -> str:
    for name, expected in _hints(type(value)).items():
        found, where = getattr(value, name), f"{place}.{name}" if place else name
        wrong = what_is_wrong(found, expected, where)
        if not wrong and isinstance(found, int) and found < 0:  # bytes, rows, jobs: all that is counted
            wrong = _instead(found, "a number from 0", where)
        if wrong:
            return wrong
    return ""


def _hints(cls: type) -> dict[str, object]:
    fields = {field.name for field in dataclasses.fields(cls)}
    return {name: hint for name, hint in get_type_hints(cls).items() if name in fields}


def _members(protocol: type) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for cls in protocol.__mro__:
        if _is_protocol(cls) and cls is not Protocol:
            found.update(dict.fromkeys(name for name in cls.__annotations__ if not name.startswith("_")))
            found.update(dict.fromkeys(name for name in vars(cls) if not name.startswith("_")))
    return tuple(found)


def _is_protocol(cls: object) -> TypeGuard[type]:
    return isinstance(cls, type) and bool(vars(cls).get("_is_protocol"))


def _name(expected: object) -> str:
    if expected is None or expected is types.NoneType:
        return "None"
    if expected in (int, float):
        return "an int" if expected is int else "a float"
    name: str = getattr(expected, "__name__", str(expected))
    return f"a{'n' if name[0] in 'AEIOU' else ''} {name}" if name[0].isupper() else name


def _instead(value: object, expected: str, place: str) -> str:
    shown = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    where = f" for {place}" if place else ""
    return f"{shown[:200]}{where}, expected {expected}"
