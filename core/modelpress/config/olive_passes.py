"""Passes that Olive has under several names, one for each library that did the work: ours have one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelpress.config.dialect import Dialect, pass_sections
from modelpress.config.tree import Node, Scalar, make_node


@dataclass(frozen=True, slots=True)
class _Other:
    """name: the pass here. defaults: those of Olive's pass that this one does not have."""

    name: str
    defaults: Mapping[str, Scalar] = field(default_factory=dict)


_OTHER = {
    "gptqmodel": _Other(
        "Gptq", {"group_size": -1, "sym": True, "damp_percent": 0.05, "true_sequential": True}
    ),
    "gptqquantizer": _Other("Gptq"),
    "autoawqquantizer": _Other("Awq"),
}


def translate_pass_names(dialect: Dialect) -> None:
    """GptqModel, GptqQuantizer -> Gptq; AutoAWQQuantizer -> Awq."""
    for step in pass_sections(dialect.root.mapping.get("passes")):
        kind = step.mapping.get("type")
        other = _OTHER.get(str(kind.value).lower()) if kind is not None else None
        if kind is None or other is None:
            continue
        missing = [name for name in other.defaults if name not in step.mapping]
        why = f"With its defaults: {', '.join(missing)}." if missing else ""
        dialect.tell(str(kind.value), other.name, kind, why)
        kind.value = other.name
        for name in missing:
            step.mapping[name] = make_node(other.defaults[name], step.place)
        _translate_dynamic(dialect, step)
    _translate_rotation(dialect)


def _translate_dynamic(dialect: Dialect, step: Node) -> None:
    """`+:REGEX: {…}` becomes an override, `-:REGEX` a module that stays as it is. A regular expression there
    has to fit the beginning of a name, here all of it."""
    dynamic = step.mapping.pop("dynamic", None)
    if dynamic is None or not dynamic.is_mapping:
        return
    dialect.tell("dynamic", "overrides, modules_to_not_convert", dynamic)
    overrides = step.mapping.setdefault("overrides", Node({}, dynamic.place))
    for pattern, given in dynamic.mapping.items():
        expression = f"re:(?:{pattern.removeprefix('+:').removeprefix('-:')}).*"
        if pattern.startswith("-:"):
            kept = step.mapping.setdefault("modules_to_not_convert", Node([], dynamic.place))
            kept.items.append(make_node(expression, given.place))
        elif given.is_mapping:
            given.mapping.pop("desc_act", None)
            if "sym" in given.mapping:
                given.rename("sym", "symmetric")
            overrides.mapping[expression] = given


def _translate_rotation(dialect: Dialect) -> None:
    """`rotation: hadamard` of GptqModel is a pass of its own, before it."""
    passes = dialect.root.mapping.get("passes")
    if passes is None or not passes.is_mapping:
        return
    entries: dict[str, Node] = {}
    for name, step in passes.mapping.items():
        rotation = step.mapping.pop("rotation", None) if step.text("type") == "Gptq" else None
        if rotation is not None and rotation.value is not None:
            dialect.tell("rotation", "a pass QuaRot before it", rotation)
            kind = make_node("QuaRot", rotation.place)
            entries[f"{name}_rotation"] = Node({"type": kind, "rotate_mode": rotation}, rotation.place)
        entries[name] = step
    passes.value = entries
