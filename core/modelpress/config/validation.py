"""Say in a user's words, and at the right place in the file, what pydantic finds wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from modelpress.config.source import describe
from modelpress.markers import Secret, marks
from modelpress.nearest import did_you_mean, nearest
from modelpress.secrets import looks_secret

_SECRET = re.compile(
    r"(^|_)(token|password|passwd|secret|credentials?|key|connection_string|environment_variables)$",
    re.IGNORECASE,
)
_EXPECTED = {
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "path_type": "a path",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "empty (null)",
    "size": 'a number of bytes, or text like "500MB" or "20GB"',
    "secret_name": "the name of an environment variable (capital letters, digits, _) or a vault's reference",
}
_LIMITS = {
    "greater_than": ("greater than {}", "gt"),
    "greater_than_equal": ("at least {}", "ge"),
    "less_than": ("less than {}", "lt"),
    "less_than_equal": ("at most {}", "le"),
    "multiple_of": ("a multiple of {}", "multiple_of"),
}

_NO_NAMES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong. path: dotted, from the validated mapping; empty for the mapping itself."""

    path: str
    message: str
    hint: str = ""


def faults(
    error: ValidationError,
    model: type[BaseModel],
    values: Mapping[str, object],
    owner: str,
    other_names: Mapping[str, str] = _NO_NAMES,
) -> Iterator[Fault]:
    """What is wrong, each once: the branches of a union count as one."""
    by_path = _by_path(error.errors(include_url=False), values)
    misspelt = {
        (path[:-1], near)
        for path, found in by_path.items()
        if found[0]["type"] == "extra_forbidden"
        and (near := nearest(str(path[-1]), _names(_model_at(model, path[:-1]))))
    }
    secrets = {mark.path for mark in marks(model, values, Secret)}
    for path, found in by_path.items():
        dotted = ".".join(str(part) for part in path)
        kind = found[0]["type"]
        if kind == "extra_forbidden":
            names = _names(_model_at(model, path[:-1]))
            hint = _nearest_key(str(path[-1]), names, other_names if len(path) == 1 else _NO_NAMES)
            yield Fault(dotted, f"{owner} has no {_word(model)} {dotted!r}.", hint)
        elif kind == "missing":
            if (path[:-1], path[-1]) not in misspelt:  # the misspelt key has been told
                yield Fault(_parent(dotted), f"{owner} needs {dotted!r}.", _description(model, path))
        else:
            secret = path in secrets or any(
                _SECRET.search(str(part)) or looks_secret(str(part)) for part in path
            )
            value = _value_at(values, path)
            expected, hint = _expectation(found, value, secret=secret)
            found_words = describe(value, secret=secret)
            yield Fault(dotted, f"{dotted!r} has to be {expected}, not {found_words}.", hint)


def model_in(annotation: object) -> type[BaseModel] | None:
    """The model in a type like `Model | None`; None when there is none, or only inside a list or mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if getattr(annotation, "__origin__", None) in (list, dict, tuple):
        return None
    return next((found for a in get_args(annotation) if (found := model_in(a))), None)


def _by_path(
    errors: Sequence[ErrorDetails], values: Mapping[str, object]
) -> dict[tuple[str | int, ...], list[ErrorDetails]]:
    """Errors by the path that the user would know, which has no names of union branches. Where one branch
    fits but for something inside, the complaints of the others are left out."""
    found: dict[tuple[str | int, ...], list[ErrorDetails]] = {}
    for error in errors:
        found.setdefault(_real_path(error, values), []).append(error)
    for path in list(found):
        inner = any(len(other) > len(path) and other[: len(path)] == path for other in found)
        if inner and any(len(error["loc"]) > len(path) for error in found[path]):
            del found[path]
    return found


def _real_path(error: ErrorDetails, values: Mapping[str, object]) -> tuple[str | int, ...]:
    path: list[str | int] = []
    current: object = values
    last = len(error["loc"]) - 1
    for index, part in enumerate(error["loc"]):
        if isinstance(current, Mapping) and part in current:
            current = current[str(part)]
        elif isinstance(current, list) and isinstance(part, int) and part < len(current):
            current = current[part]
        elif not (error["type"] == "missing" and index == last):
            continue  # the name of a branch of a union
        path.append(part)
    return tuple(path)


def _expectation(errors: Sequence[ErrorDetails], value: object, *, secret: bool) -> tuple[str, str]:
    """What would be right, in words that follow 'has to be', and a hint. secret: a validator of the plugin's
    is not quoted, it may repeat the value."""
    words: list[str] = []
    choices: list[str] = []
    for error in errors:
        context = error.get("ctx", {})
        kind = error["type"]
        if kind in _EXPECTED:
            words.append(_EXPECTED[kind])
        elif kind in _LIMITS:
            phrase, key = _LIMITS[kind]
            words.append(phrase.format(context[key]))
        elif kind in ("literal_error", "enum"):
            expected = str(context["expected"])
            words.append(f"one of {expected}" if "," in expected or " or " in expected else expected)
            choices += re.findall(r"'([^']*)'", expected)
        elif secret:
            words.append("right")
        else:
            words.append(_other(error))
    near = nearest(value, choices) if isinstance(value, str) else None
    return " or ".join(dict.fromkeys(words)), f"Did you mean {near!r}?" if near else ""


def _other(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "string_too_short":
            return "text that is not empty" if context["min_length"] == 1 else f"longer ({error['msg']})"
        case "too_short":
            return f"a list of at least {context['min_length']}"
        case "too_long":
            return f"a list of at most {context['max_length']}"
        case "string_pattern_mismatch":
            return f"text of the pattern {context['pattern']}"
        case "value_error" | "assertion_error":
            text = str(context.get("error", error["msg"]))
            return text.removeprefix("has to be ").rstrip(".")
        case _:
            return f"right ({error['msg']})"


def _model_at(model: type[BaseModel], path: Sequence[str | int]) -> type[BaseModel] | None:
    """The model that the value at this path is validated by; None when it is no model."""
    current: type[BaseModel] | None = model
    annotation: object = None
    for part in path:
        if current is not None:
            field = current.model_fields.get(str(part))
            annotation = field.annotation if field else None
        else:
            annotation = _inside(annotation)
        current = model_in(annotation)
    return current


def _inside(annotation: object) -> object:
    """What a list or mapping type holds, looked for through unions."""
    for argument in get_args(annotation):
        if get_args(argument):
            return _inside(argument)
    arguments = get_args(annotation)
    return arguments[-1] if arguments else None


def _nearest_key(key: str, names: Sequence[str], other_names: Mapping[str, str]) -> str:
    near = nearest(key, [*names, *other_names])
    if near is not None and near in other_names:
        return f"Did you mean {other_names[near]!r}?"
    return did_you_mean(key, names, what="It has")


def _names(model: type[BaseModel] | None) -> list[str]:
    return list(model.model_fields) if model else []


def _word(model: type[BaseModel]) -> str:
    return "key" if model.__module__.startswith("modelpress.config") else "option"


def _description(model: type[BaseModel], path: tuple[str | int, ...]) -> str:
    owner = _model_at(model, path[:-1])
    field = owner.model_fields.get(str(path[-1])) if owner else None
    return (field.description or "") if field else ""


def _value_at(values: object, path: tuple[str | int, ...]) -> object:
    for part in path:
        if not isinstance(values, Mapping | list):
            break
        values = values[int(part)] if isinstance(values, list) else values[part]
    return values


def _parent(dotted: str) -> str:
    return dotted.rpartition(".")[0]
