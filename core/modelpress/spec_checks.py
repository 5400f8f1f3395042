"""Is a spec right? Looked at when its plugin is loaded, so a wrong field is told before anything uses it.

Every command waits for this: each field is checked by its type as it is written in specs.py, with the
standard library alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields

from modelpress.specs import ANY_FORMAT, ANY_TARGET, Rename, Spec
from modelpress.verbs import is_free

_IN_NAMES = str.maketrans("", "", "_.+-")
_IN_WORDS = str.maketrans("", "", "_-")
_REQUIREMENT = re.compile(
    r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?\s*"  # name
    r"(?:\[[\w\s,.-]*\]\s*)?"  # extras
    r"(?:@\s*\S+|\(?\s*(?:(?:===?|~=|!=|[<>]=?)\s*[\w.*+!-]+\s*,?\s*)*\)?)\s*"  # URL or versions
    r"(?:;.+)?"  # marker
)
_DEVICES = ("cpu", "gpu", "npu")


def what_is_wrong(spec: Spec) -> str:
    """The first wrong field, as a sentence without a full stop; empty when all are right."""
    for field in fields(spec):
        value = getattr(spec, field.name)
        expected = "" if value is field.default else _wrong_value(spec, field, value)
        if expected:
            name = spec.name if isinstance(spec.name, str) and spec.name else "?"
            return f"{spec.kind} {name}: {field.name} has to be {expected}, and is {_shown(value)}"
    return _wrong_together(spec)


def _wrong_together(spec: Spec) -> str:
    """Which fields do not go together, each of them right by itself."""
    if spec.kind == "resource":
        given = [name for name in ("identity", "fetch", "secret") if getattr(spec, name)]
        if given not in (["identity", "fetch"], ["secret"]):
            told = " and ".join(given) or "none of them"
            return f"resource {spec.name} has to have identity and fetch, or secret alone, and has {told}"
    return ""


def _wrong_value(spec: Spec, field: Field[object], value: object) -> str:
    """What was expected of the field; empty when the value is right."""
    if field.name == "name":
        is_command = spec.kind == "command"
        right = _is_command(value) if is_command else _is_name(value)
        what = "a verb, or a noun of the core and a verb, that the core has not itself"
        return "" if right else what if is_command else "a name without blanks"
    if field.name == "aliases" and spec.kind == "command":
        return _all(value, _is_command, "verbs that the core has not")
    if field.name == "produces":
        other = ANY_FORMAT if spec.kind == "model" else "same"
        return "" if _is_name(value) or value == other else f"a format, or {other!r}"
    if field.name == "requires":
        return _all(value, _is_requirement, "requirements as in a pyproject.toml ('torch>=2.9')")
    if field.name == "devices":
        right = bool(value) and not _all(value, _DEVICES.__contains__, "devices")
        return "" if right else f"a tuple of {', '.join(_DEVICES)}, one at least"
    if field.name == "targets":
        return _all(value, lambda name: name == ANY_TARGET or _is_name(name), "execution providers, or '*'")
    if field.name == "gives" and getattr(spec, "open_ended", False) is True and value == {}:
        return ""
    if field.name == "sub_types":
        given = getattr(spec, "gives", {})
        return "" if _is_sub_types(value, given) else "a mapping: another name -> one of the names in gives"
    if field.name == "cost":
        return "" if type(value) is int and value >= 0 else "a number from 0"
    if field.name == "part":
        return "" if _is_part(value) else "an option and a number from 1: ('max_samples', 32)"
    check, what = _BY_TYPE[_type_of(field)]
    absent = not value and field.default is not MISSING
    return "" if (absent and isinstance(value, type(field.default))) or check(value) else what


def _all(value: object, check: Callable[[object], bool], what: str) -> str:
    right = isinstance(value, tuple) and all(isinstance(item, str) and check(item) for item in value)
    return "" if right else f"a tuple of {what}"


def _type_of(field: Field[object]) -> str:
    written = str(field.type)
    return "Ref" if written.startswith("Ref[") else written


def _is_line(value: object) -> bool:
    return isinstance(value, str) and value.isprintable()


def _is_name(value: object) -> bool:
    """An ASCII letter or digit first, then letters, digits and `_.+-`."""
    return (
        isinstance(value, str) and value[:1].isascii() and value[:1].isalnum()
        and value.translate(_IN_NAMES).isalnum()
    )  # fmt: skip


def _is_command(value: object) -> bool:
    """One or two words, each as _is_name says, of `_-` and with a small letter first; free for plugins."""
    if not isinstance(value, str) or value.count(" ") > 1:
        return False
    words = value.split(" ")
    return is_free(value) and all(
        _is_name(word) and word[0] == word[0].lower() and word.translate(_IN_WORDS).isalnum()
        for word in words
    )


def _is_requirement(value: object) -> bool:
    """One, or several with `|` between, of which one will do."""
    return isinstance(value, str) and all(_REQUIREMENT.fullmatch(one.strip()) for one in value.split(" | "))


def _is_reference(value: object) -> bool:
    """Two dotted names with a colon between."""
    if not isinstance(value, str):
        return False
    module, _, name = value.partition(":")
    return all(part.isidentifier() for part in (*module.split("."), *name.split(".")))


def _is_version(value: object) -> bool:
    return type(value) is int and value > 0


def _is_part(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and _is_name(value[0]) and _is_version(value[1])


def _is_switch(value: object) -> bool:
    return type(value) is bool


def _is_names(value: object) -> bool:
    return isinstance(value, tuple) and all(map(_is_name, value))


def _is_renames(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, Rename) and _is_rename(item) for item in value)


def _is_rename(rename: Rename) -> bool:
    paths = (rename.old, rename.old if rename.new is None else rename.new)
    return all(isinstance(path, str) and path for path in paths) and isinstance(rename.values, Mapping)


def _is_gives(value: object) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(map(_is_given_number, value.items()))


def _is_given_number(item: tuple[object, object]) -> bool:
    name, told = item
    right = isinstance(told, tuple) and len(told) == 2 and isinstance(told[0], str) and type(told[1]) is bool
    return _is_name(name) and right


def _is_sub_types(value: object, gives: object) -> bool:
    return (
        isinstance(value, Mapping)
        and isinstance(gives, Mapping)
        and all(_is_name(name) and number in gives for name, number in value.items())
    )


def _is_variables(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        _is_line(name) and name and "=" not in name and _is_line(text) for name, text in value.items()
    )


_BY_TYPE: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "str": (_is_line, "a line of text"),
    "int": (_is_version, "a number from 1"),
    "bool": (_is_switch, "True or False"),
    "tuple[str, ...]": (_is_names, "a tuple of names"),
    "tuple[Rename, ...]": (_is_renames, "a tuple of Renames"),
    "Mapping[str, str]": (_is_variables, "a mapping: environment variable -> value"),
    "Mapping[str, tuple[str, bool]]": (_is_gives, "a mapping: name -> (unit, higher is better)"),
    "Ref": (_is_reference, "'module:name'"),
}


def _shown(value: object) -> str:
    return repr(str(value)) if isinstance(value, str) else repr(value)[:100]
