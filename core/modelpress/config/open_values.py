"""One open option: `{choice: […]}`, `{range: [low, high]}`, `SEARCHABLE_VALUES`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args, get_origin

from pydantic import BaseModel

from modelpress.annotations import bare, is_model, is_union, of_kind
from modelpress.config.tree import Node
from modelpress.errors import Location, MissingDependencyError, PluginError
from modelpress.json_types import Scalar
from modelpress.markers import Searchable
from modelpress.problems import Problems
from modelpress.registry import Registered
from modelpress.search import Interval
from modelpress.specs import Spec

OWN_VALUES = "SEARCHABLE_VALUES"
"""Stands for the values that the plugin of an option says are worth trying."""
_CHOICE = {"choice", "when"}
_RANGE = {"range", "log", "step", "when"}
CASES = "cases"


@dataclass(frozen=True, slots=True)
class OpenValue:
    """labels, nodes: each value, and as what a candidate names it; empty for an interval."""

    place: Location
    labels: tuple[Scalar, ...] = ()
    nodes: tuple[Node, ...] = ()
    interval: Interval | None = None
    when: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)

    @property
    def first(self) -> Scalar:
        return self.interval.nearest(self.interval.low) if self.interval else self.labels[0]

    @property
    def told(self) -> str:
        """What it can be, to compare with another."""
        return repr((self.labels, self.interval))

    def node(self, value: Scalar) -> Node:
        """A value as it stands in a workflow."""
        if self.interval is not None:
            return Node(value, self.place)
        wanted = _text(value)
        return next(
            node for label, node in zip(self.labels, self.nodes, strict=True) if _text(label) == wanted
        )


def is_open(node: Node) -> bool:
    """Whether it is written as a choice."""
    if isinstance(node.value, dict):
        keys = node.value.keys()
        is_case = "choice" in keys and keys <= _CHOICE
        return is_case or ("range" in keys and keys <= _RANGE) or keys == {CASES}
    return node.value == OWN_VALUES


def read_cases(
    node: Node, option: str, owner: Registered[Spec] | None, problems: Problems
) -> list[OpenValue]:
    """Each of the choices that a node is: one, or one for each of its cases. Empty where one is wrong."""
    if CASES not in node.mapping:
        value = read_open(node, option, owner, problems)
        return [value] if value else []
    cases = node.mapping[CASES].items
    if not cases or not all(is_open(case) and "when" in case.mapping for case in cases):
        problems.add(
            f"The cases of {option!r} have to be a list of choices, each with `when`.",
            "Write {cases: [{choice: [16, 32], when: {passes.x.bits: [4]}}]}.",
            where=node.place,
        )
        return []
    found = [read_open(case, option, owner, problems) for case in cases]
    whole = [value for value in found if value]
    return whole if len(whole) == len(found) else []


def read_open(
    node: Node, option: str, owner: Registered[Spec] | None, problems: Problems
) -> OpenValue | None:
    """The choice that a node is. option: its dotted path inside the owner's options. What is wrong is told,
    and None returned."""
    when = _when(node, problems)
    if node.value == OWN_VALUES:
        return _own_values(node, option, owner, problems)
    if "choice" in node.mapping:
        return _choice(node, option, when, problems)
    return _range(node, option, when, problems)


def own_values(owner: Registered[Spec], option: str) -> tuple[Scalar, ...]:
    """What the class of options says is worth trying: its Searchable marker, else all that a Literal or a
    boolean can be; empty when it says nothing."""
    try:
        annotation: object = owner.options_class
    except (PluginError, MissingDependencyError):
        return ()  # told where the options are read
    metadata: tuple[object, ...] = ()
    for name in option.split("."):
        model = _model_in(annotation)
        if model is None or name not in model.model_fields:
            return ()
        info = model.model_fields[name]
        annotation, inner = bare(info.annotation)
        metadata = (*info.metadata, *inner)
    marked = of_kind(metadata, Searchable)
    return tuple(marked.values) if marked and marked.values else _all_of(annotation)


def searched_by_default(owner: Registered[Spec]) -> list[str]:
    """Options whose class says which values are worth trying."""
    try:
        fields = owner.options_class.model_fields
    except (PluginError, MissingDependencyError):
        return []
    found = {
        name: of_kind((*info.metadata, *bare(info.annotation)[1]), Searchable)
        for name, info in fields.items()
    }
    return [name for name, marker in found.items() if marker and marker.values and marker.by_default]


def _all_of(annotation: object) -> tuple[Scalar, ...]:
    annotation, _ = bare(annotation)
    if annotation is bool:
        return (False, True)
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if is_union(annotation):
        parts = [_all_of(part) for part in get_args(annotation) if part is not type(None)]
        return tuple(value for part in parts for value in part) if all(parts) else ()
    return ()


def _model_in(annotation: object) -> type[BaseModel] | None:
    if is_model(annotation):
        return annotation
    if is_union(annotation):
        return next((part for part in get_args(annotation) if is_model(part)), None)
    return None


def _own_values(
    node: Node, option: str, owner: Registered[Spec] | None, problems: Problems
) -> OpenValue | None:
    values = own_values(owner, option) if owner else ()
    if not values:
        who = owner.spec.name if owner else "It"
        problems.add(
            f"{who} does not say which values of {option!r} are worth trying.",
            f"Write them: {option}: {{choice: […]}}.",
            where=node.place,
        )
        return None
    return OpenValue(node.place, values, tuple(Node(value, node.place) for value in values))


def _choice(
    node: Node, option: str, when: Mapping[str, tuple[Scalar, ...]], problems: Problems
) -> OpenValue | None:
    listed = node.mapping["choice"]
    if not listed.items:
        found = "an empty list" if isinstance(listed.value, list) else "no list"
        problems.add(
            f"The choice of {option!r} is {found}.", "List its values: {choice: [16, 32]}.", where=node.place
        )
        return None
    labels: dict[str, tuple[Scalar, Node]] = {}
    for item in listed.items:
        plain = item.plain()
        label: Scalar = json.dumps(plain) if isinstance(plain, dict | list) else plain
        if _text(label) in labels:
            problems.add(f"The choice of {option!r} has {_text(label)} twice.", where=item.place)
        labels[_text(label)] = (label, item)
    return OpenValue(
        node.place,
        tuple(label for label, _ in labels.values()),
        tuple(item for _, item in labels.values()),
        when=when,
    )


def _range(
    node: Node, option: str, when: Mapping[str, tuple[Scalar, ...]], problems: Problems
) -> OpenValue | None:
    def wrong(message: str, hint: str = "") -> OpenValue | None:
        problems.add(message, hint, where=node.place)
        return None

    ends = [item.value for item in node.mapping["range"].items]
    numbers = [end for end in ends if isinstance(end, int | float) and not isinstance(end, bool)]
    if len(ends) != 2 or len(numbers) != 2:
        return wrong(f"The range of {option!r} has to be two numbers: [low, high].")
    low, high = numbers
    if not low < high:
        return wrong(f"The range of {option!r} goes from {low} to {high}.", "The lower end comes first.")
    log = node.mapping.get("log")
    step = node.mapping.get("step")
    if log is not None and not isinstance(log.value, bool):
        return wrong(f"'log' of {option!r} has to be true or false.")
    if step is not None and (
        isinstance(step.value, bool) or not isinstance(step.value, int | float) or not step.value > 0
    ):
        return wrong(f"'step' of {option!r} has to be a number above 0.")
    if log is not None and log.value and (step is not None or not low > 0):
        return wrong(f"A range of {option!r} by logarithm begins above 0 and has no step.")
    width = step.value if step is not None and isinstance(step.value, int | float) else 0
    whole = all(isinstance(each, int) for each in (low, high, width))
    interval = Interval(low, high, bool(log and log.value), width, whole)
    return OpenValue(node.place, interval=interval, when=when)


def _when(node: Node, problems: Problems) -> dict[str, tuple[Scalar, ...]]:
    given = node.mapping.get("when")
    found: dict[str, tuple[Scalar, ...]] = {}
    for name, allowed in given.mapping.items() if given else ():
        values: Sequence[Node] = allowed.items or [allowed]
        plain = [value.value for value in values]
        found[name] = tuple(value for value in plain if not isinstance(value, dict | list))
    if given is not None and not given.mapping:
        problems.add("`when` is a mapping: {passes.x.bits: [4]}.", where=node.place)
    return found


def _text(value: Scalar) -> str:
    return json.dumps(value)
