"""Which of a metric's numbers a workflow means: `sub_types`, by full name, Olive's name or part of a name."""

from __future__ import annotations

from pydantic import ValidationError

from modelpress.config.schema import SubMetricSection
from modelpress.config.tree import Node
from modelpress.config.workflow import Goal, Positions, SubMetric
from modelpress.nearest import did_you_mean
from modelpress.problems import Problems
from modelpress.specs import MetricSpec


def read_sub_metrics(
    node: Node | None, spec: MetricSpec, path: str, step: str, positions: Positions, problems: Problems
) -> tuple[SubMetric, ...]:
    """The items of `sub_types`, each with the numbers that it means. A name that means none is told.

    path: of the node, for its place in the file.
    """
    found = []
    for index, item in enumerate(node.items if node else ()):
        try:
            section = SubMetricSection.model_validate(item.plain())
        except ValidationError:
            continue  # the check of the shape has told it
        numbers = numbers_meant(section.name, spec)
        if not numbers:
            problems.add(
                f"{spec.name} gives no number {section.name!r}.",
                did_you_mean(section.name, known_names(spec), what="It gives"),
                where=positions.locate(f"{path}.{index}.name"),
                step=step,
            )
            continue
        goal = Goal(section.goal.type, section.goal.value) if section.goal else None
        priority = section.priority if section.priority is not None and section.priority > 0 else None
        found.append(SubMetric(section.name, numbers, priority, section.higher_is_better, goal))
    return tuple(found)


def numbers_meant(name: str, spec: MetricSpec) -> tuple[str, ...]:
    """Full names of the numbers that a name means: `p50` is a part of `latency_p50_ms`, and of others."""
    if name in spec.gives:
        return (name,)
    if name in spec.sub_types:
        return (spec.sub_types[name],)
    if spec.open_ended:
        return (name,)  # whether there is such a number, the measurement tells
    return tuple(full for full in spec.gives if f"_{name}_" in f"_{full}_")


def known_names(spec: MetricSpec) -> list[str]:
    """What a user may write; parts of names that tell several numbers apart come last."""
    parts = {part for full in spec.gives for part in full.split("_")}
    telling = sorted(part for part in parts if len(numbers_meant(part, spec)) < len(spec.gives))
    return list(dict.fromkeys([*spec.gives, *spec.sub_types, *telling]))
