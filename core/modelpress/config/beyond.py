"""What a workflow asks for that is not here: each is told in one sentence, and what is inside it is not
looked at, so that nothing is told which only follows from that."""

from __future__ import annotations

import re

from modelpress.config.dialect import sections
from modelpress.config.olive_beyond import Beyond, tell_foreign_model, tell_foreign_parts
from modelpress.config.tree import Node
from modelpress.problems import Problems
from modelpress.registry import Registry
from modelpress.specs import MetricSpec, ModelSpec, PassSpec, Spec

_PLACEHOLDER = re.compile(r"<[\w ]*place_?holder>", re.IGNORECASE)


def tell_beyond(root: Node, registry: Registry, problems: Problems) -> Beyond:
    """Find what is not here. Types that no plugin brings are told where they are looked up."""
    beyond = Beyond()
    _placeholders(root, problems, beyond)
    _evaluators(root, problems, beyond)
    if (
        "input_model" in beyond
        or tell_foreign_model(root, problems, beyond)
        or _no_such_model(root, registry)
    ):
        beyond.add("data_configs")  # what is measured, and on what, is about another kind of model
        beyond.add("evaluators")
    _data_of_absent_parts(root, registry, beyond)
    tell_foreign_parts(root, problems, beyond)
    return beyond


def _placeholders(root: Node, problems: Problems, beyond: Beyond) -> None:
    """`<place_holder>`: a template that a script of the user's is to fill in."""
    found = [(path, node) for path, node in root.walk() if _PLACEHOLDER.fullmatch(str(node.value))]
    if not found:
        return
    first = found[0][1]
    more = f"; {len(found)} places hold one" if len(found) > 1 else ""
    hint = "Write what is meant there, or run the script that fills the template in."
    problems.add(f"{first.value!r} is a placeholder, no value{more}.", hint, where=first.place)
    for path, _ in found:
        beyond.add("input_model" if path.startswith("input_model.") else path)
        if path.startswith("pass_flows"):  # which passes there are, and in which order, is open
            beyond.add("pass_flows")
            beyond.add("passes")


def _evaluators(root: Node, problems: Problems, beyond: Beyond) -> None:
    """Olive has evaluators that are programs of their own, and no list of metrics."""
    evaluators = root.mapping.get("evaluators")
    for name, node in evaluators.mapping.items() if evaluators else ():
        if not node.is_mapping or "metrics" in node.mapping:
            continue
        path = f"evaluators.{name}"
        kind = node.text("type")
        if kind:
            hint = "An evaluator is a list of metrics here: `modelpress metrics list` shows them."
            where = node.mapping["type"].place
            problems.add(f"There is no evaluator of type {kind!r}.", hint, where=where, step=name)
        elif node.mapping:
            hint = "`modelpress metrics list` shows which there are."
            problems.add(f"The evaluator {name!r} has no metrics.", hint, where=node.place, step=name)
        beyond.add(path)


def _no_such_model(root: Node, registry: Registry) -> bool:
    model = root.mapping.get("input_model")
    kind = model.text("type") if model else ""
    return bool(kind) and registry.get(ModelSpec, kind) is None


def _data_of_absent_parts(root: Node, registry: Registry, beyond: Beyond) -> None:
    """Data sets that only a pass or metric names which is not here: nothing here can say what fits them."""
    data = root.mapping.get("data_configs")
    names = set(data.mapping) if data else set()
    absent: set[str] = set()
    used: set[str] = set()
    passes = root.mapping.get("passes")
    parts: list[tuple[type[Spec], Node]] = [(PassSpec, node) for node in sections(passes)]
    for evaluator in sections(root.mapping.get("evaluators")):
        parts += [(MetricSpec, metric) for metric in sections(evaluator.mapping.get("metrics"))]
    for kind, node in parts:
        here = registry.get(kind, node.text("type")) is not None
        named = {each.value for _, each in node.walk() if isinstance(each.value, str)} & names
        (used if here else absent).update(str(name) for name in named)
    for name in absent - used:
        beyond.add(f"data_configs.{name}")
