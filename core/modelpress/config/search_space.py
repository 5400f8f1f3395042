"""What a workflow leaves open, and the workflow with all of it decided.

pass_flows: [[a, b], [a, c]]                                   several orders of passes
passes.x: [{type: Rtn}, {type: Gptq}, null]                    several passes for a step; null leaves it out
any option of a pass or data config:
  {choice: [16, 32]}, {range: [1e-5, 1e-3], log: true}         both take `when: {passes.x.bits: [4]}`
  SEARCHABLE_VALUES                                            what its plugin says of it
  {cases: [{choice: [1], when: {passes.x.bits: [4]}}, …]}    by another open value; else its default
accelerators of the target, of which there are several: where a search is asked for
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from modelpress.config.accelerators import accelerators_of
from modelpress.config.open_values import CASES, OpenValue, is_open, read_cases
from modelpress.config.tree import Node, make_node
from modelpress.errors import Location
from modelpress.json_types import Scalar
from modelpress.nearest import did_you_mean
from modelpress.problems import Problems
from modelpress.registry import Registry
from modelpress.search import Axis, Candidate
from modelpress.specs import PassSpec, Spec

FLOWS = "pass_flows"
NONE = "none"
"""The label of `null` among alternative passes."""
_GROUPS = ("passes", "data_configs")


@dataclass(frozen=True, slots=True)
class OpenWorkflow:
    """A workflow's tree with what is open in it.

    axes:    in an order in which conditions come first
    flows:   label -> the names of its passes, in order
    branches: name of a step -> label -> the pass, None for no pass
    options: id of an open node -> its axis, and what it can be; of one with cases, of each
    targets: of the accelerators of the target, where several are tried: label -> what stands for it alone
    wrong:   ids of nodes that are open and cannot be read: told, and left out
    """

    root: Node
    axes: tuple[Axis, ...]
    flows: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    branches: Mapping[str, Mapping[str, Node | None]] = field(default_factory=dict)
    options: Mapping[int, Sequence[tuple[str, OpenValue]]] = field(default_factory=dict)
    targets: Mapping[str, Node] = field(default_factory=dict)
    wrong: Collection[int] = ()

    def decided(self, candidate: Candidate) -> Node:
        """The tree with everything decided; each value keeps the place where it was written. An axis that
        the candidate does not name takes its first value."""
        root = Node(dict(self.root.mapping), self.root.place)
        for key in (FLOWS, "search_strategy"):
            root.mapping.pop(key, None)
        for group in _GROUPS:
            node = root.mapping.get(group)
            if node is not None and (node.is_mapping or node.items):
                root.mapping[group] = self._decide(node, candidate) or node
        if self.targets:
            name = target_name(root)
            chosen = self.targets[str(candidate.get(target_axis(name), next(iter(self.targets))))]
            system = root.mapping["systems"].mapping[name]
            changed = Node({**system.mapping, "accelerators": chosen}, system.place)
            systems = {**root.mapping["systems"].mapping, name: changed}
            root.mapping["systems"] = Node(systems, root.mapping["systems"].place)
        passes = root.mapping.get("passes")
        if passes is not None and passes.is_mapping:
            root.mapping["passes"] = self._steps(passes, candidate)
        return root

    def complete(self, wanted: Candidate) -> Candidate:
        """The candidate that has these values, and else the first of each."""
        found = dict(wanted)
        for axis in reversed(self.axes):
            if axis.name in found:
                for parent, allowed in axis.when.items():
                    found.setdefault(parent, allowed[0])
        kept: dict[str, Scalar] = {}
        for axis in self.axes:
            if axis.is_active(kept):
                kept[axis.name] = found.get(axis.name, axis.first)
        return kept

    def covering(self) -> Iterator[Candidate]:
        """Candidates that together have each value of each axis, and one end of each interval; the first
        values come first."""
        covered: set[tuple[str, str]] = set()
        for axis in self.axes:
            for value in axis.values or (axis.first,):
                if (axis.name, json.dumps(value)) not in covered:
                    candidate = self.complete({axis.name: value})
                    covered |= {(name, json.dumps(chosen)) for name, chosen in candidate.items()}
                    yield candidate

    def written(self, axis: Axis) -> Iterator[tuple[Scalar, set[Location]]]:
        """Each value of an axis, the ends of an interval, with all places where it stands."""
        if axis.interval is not None:
            ends = (axis.interval.low, axis.interval.high)
            places = {value.place for value in self._values(axis)}
            yield from ((axis.interval.nearest(end), places) for end in ends)
            return
        for number, value in enumerate(axis.values):
            nodes = [value_.nodes[number] for value_ in self._values(axis)]
            branch = self.branches.get(axis.name.removeprefix("passes."), {}).get(str(value))
            nodes += [branch] if branch else []
            inner = [child for node in nodes for _, child in node.walk()]
            yield value, {node.place for node in (*nodes, *inner)}

    def _values(self, axis: Axis) -> list[OpenValue]:
        return [value for each in self.options.values() for name, value in each if name == axis.name]

    def _steps(self, passes: Node, candidate: Candidate) -> Node:
        names: Sequence[str] = list(passes.mapping)
        if self.flows:
            names = self.flows[str(candidate.get(FLOWS, next(iter(self.flows))))]
        entries: dict[str, Node] = {}
        for name in names:
            if name not in self.branches:
                entries[name] = passes.mapping[name]
                continue
            branches = self.branches[name]
            chosen = branches[str(candidate.get(f"passes.{name}", next(iter(branches))))]
            if chosen is not None and (decided := self._decide(chosen, candidate)):
                entries[name] = decided
        return Node(entries, passes.place)

    def _decide(self, node: Node, candidate: Candidate) -> Node | None:
        """None where none of its cases holds: it takes its default."""
        if id(node) in self.options:
            found = self.options[id(node)]
            if len(found) == 1 and CASES not in node.mapping:
                (axis, value) = found[0]
                return value.node(candidate.get(axis, value.first))
            return next((value.node(candidate[axis]) for axis, value in found if axis in candidate), None)
        if isinstance(node.value, dict):
            kept = {key: child for key, child in node.value.items() if id(child) not in self.wrong}
            decided = {key: self._decide(child, candidate) for key, child in kept.items()}
            return Node({key: child for key, child in decided.items() if child is not None}, node.place)
        if isinstance(node.value, list):
            items = (self._decide(child, candidate) for child in node.value)
            return Node([item for item in items if item is not None], node.place)
        return node


def read_open_workflow(root: Node, registry: Registry, problems: Problems) -> OpenWorkflow | None:
    """What is open in a workflow in today's form; None when nothing is. What is wrong is told."""
    return _Reader(root, registry, problems).read()


def open_points(root: Node) -> Iterator[tuple[str, Node]]:
    """(name of the step or data config, what is open there) of all that a search would decide."""
    flows = root.mapping.get(FLOWS)
    if flows is not None and len(flows.items) > 1:
        yield FLOWS, flows
    if len(_targets(root)) > 1:
        yield target_axis(target_name(root)), root.mapping["systems"].mapping[target_name(root)]
    for group in _GROUPS:
        parts = root.mapping.get(group)
        for name, part in _named(parts) if parts else ():
            if group == "passes" and isinstance(part.value, list):
                yield name, part
                continue
            yield from ((name, node) for _, node in part.walk() if is_open(node))


def target_name(root: Node) -> str:
    """The system that the model is for; empty for this machine."""
    return root.text("target") or root.text("host")


def target_axis(system: str) -> str:
    return f"systems.{system}.accelerators"


def _targets(root: Node) -> dict[str, Node]:
    """Each accelerator of the target as what stands for it alone, where a search is asked for."""
    strategy, systems = root.mapping.get("search_strategy"), root.mapping.get("systems")
    system = systems.mapping.get(target_name(root)) if systems else None
    if strategy is None or not strategy.value or system is None:
        return {}
    found: dict[str, Node] = {}
    for each in accelerators_of(system.mapping.get("accelerators")):
        label = each.execution_provider
        label = f"{each.device} {label}" if label in found else label
        entry = {"device": each.device, "execution_providers": [each.execution_provider]}
        found[label] = make_node([entry], system.mapping["accelerators"].place)
    return found


def _named(group: Node) -> Iterator[tuple[str, Node]]:
    yield from group.mapping.items()
    yield from ((item.text("name"), item) for item in group.items)


class _Reader:
    def __init__(self, root: Node, registry: Registry, problems: Problems) -> None:
        self._root = root
        self._registry = registry
        self._problems = problems
        self._axes: dict[str, Axis] = {}
        self._values: dict[str, OpenValue] = {}
        self._options: dict[int, list[tuple[str, OpenValue]]] = {}
        self._branches: dict[str, dict[str, Node | None]] = {}
        self._flows: dict[str, tuple[str, ...]] = {}
        self._wrong: set[int] = set()
        self._conditions: list[tuple[str, OpenValue]] = []

    def read(self) -> OpenWorkflow | None:
        if next(open_points(self._root), None) is None:
            return None
        targets = _targets(self._root)
        if len(targets) > 1:
            axis = target_axis(target_name(self._root))
            self._axes[axis] = Axis(axis, tuple(targets))
        self._read_flows()
        passes = self._root.mapping.get("passes")
        for name, node in passes.mapping.items() if passes else ():
            self._read_step(name, node)
        data = self._root.mapping.get("data_configs")
        for name, node in _named(data) if data else ():
            self._read_options(f"data_configs.{name}", node, None, {})
        self._add_conditions()
        return OpenWorkflow(
            self._root,
            tuple(self._in_order()),
            self._flows,
            self._branches,
            self._options,
            targets if len(targets) > 1 else {},
            self._wrong,
        )

    def _read_flows(self) -> None:
        flows = self._root.mapping.get(FLOWS)
        passes = self._root.mapping.get("passes")
        if flows is None or passes is None or len(flows.items) < 2:
            return
        for flow in flows.items:
            names = tuple(str(item.value) for item in flow.items)
            for item in flow.items:
                if str(item.value) not in passes.mapping:
                    hint = did_you_mean(str(item.value), passes.mapping, what="There are")
                    self._problems.add(f"There is no pass named {item.value!r}.", hint, where=item.place)
            label = ", ".join(names)
            if all(name in passes.mapping for name in names):
                self._flows.setdefault(label, names)
        if len(self._flows) > 1:
            self._axes[FLOWS] = Axis(FLOWS, tuple(self._flows))

    def _read_step(self, name: str, node: Node) -> None:
        path = f"passes.{name}"
        when = self._flows_with(name)
        if not isinstance(node.value, list):
            self._read_options(path, node, node, when)
            return
        labels = _labels(node.items)
        if not labels:
            self._problems.add(
                f"{path!r} is a list of no passes.", "Write one pass, or several.", where=node.place
            )
            return
        self._branches[name] = dict(labels)
        if len(labels) > 1:
            self._axes[path] = Axis(path, tuple(labels), when=when)
        for label, branch in labels.items():
            if branch is not None:
                chosen = {**when, path: (label,)} if len(labels) > 1 else when
                self._read_options(path, branch, branch, chosen, label)

    def _flows_with(self, name: str) -> dict[str, tuple[Scalar, ...]]:
        """The condition that a flow has the step."""
        having = tuple(label for label, names in self._flows.items() if name in names)
        return {FLOWS: having} if len(having) < len(self._flows) else {}

    def _read_options(
        self,
        path: str,
        node: Node,
        section: Node | None,
        when: Mapping[str, tuple[Scalar, ...]],
        label: str = "",
    ) -> None:
        """section: the pass, whose class of options knows what values are worth trying."""
        inside: set[int] = set()
        for inner, child in node.walk():
            if not is_open(child) or id(child) in inside:
                continue
            inside |= {id(below) for _, below in child.walk()}
            found = self._registry.get(PassSpec, section.text("type")) if section else None
            spec: Spec | None = found.spec if found else None
            cases = read_cases(child, inner, found if spec else None, self._problems)
            if not cases:
                self._wrong.add(id(child))
            for number, value in enumerate(cases, start=1):
                self._add_option(
                    path, inner if number == 1 else f"{inner}#{number}", child, value, when, label
                )

    def _add_option(
        self,
        path: str,
        inner: str,
        node: Node,
        value: OpenValue,
        when: Mapping[str, tuple[Scalar, ...]],
        label: str,
    ) -> None:
        """Alternatives that leave the same choice share its axis, so that a sampler learns of it once."""
        name = f"{path}.{inner}"
        known, there = self._values.get(name), self._axes.get(name)
        if known is not None and there is not None and label:
            if known.told == value.told and known.when == value.when:
                both = tuple(dict.fromkeys([*there.when.get(path, ()), *when.get(path, ())]))
                self._axes[name] = Axis(name, there.values, there.interval, {**there.when, path: both})
                self._options.setdefault(id(node), []).append((name, value))
                return
            name = f"{path}.{label}.{inner}"
        self._axes[name] = Axis(name, value.labels, value.interval, when)
        self._values[name] = value
        self._options.setdefault(id(node), []).append((name, value))
        if value.when:
            self._conditions.append((name, value))

    def _add_conditions(self) -> None:
        for name, value in self._conditions:
            conditions = dict(self._axes[name].when)
            for wanted, allowed in value.when.items():
                other = self._axes.get(wanted)
                if other is None:
                    hint = did_you_mean(wanted, self._axes, what="Open are")
                    self._problems.add(f"{wanted!r} in `when` is not open.", hint, where=value.place)
                    continue
                strange = [each for each in allowed if other.values and each not in other.values]
                if strange:
                    listed = ", ".join(map(str, other.values))
                    self._problems.add(
                        f"{wanted!r} is never {strange[0]!r}.", f"It can be {listed}.", where=value.place
                    )
                conditions[wanted] = allowed
            axis = self._axes[name]
            self._axes[name] = Axis(name, axis.values, axis.interval, conditions)

    def _in_order(self) -> list[Axis]:
        """Each axis after those that it depends on; a circle of conditions is told."""
        ordered: dict[str, Axis] = {}
        left = dict(self._axes)
        while left:
            ready = [axis for axis in left.values() if all(name in ordered for name in axis.when)]
            if not ready:
                circle = ", ".join(left)
                self._problems.add(f"The conditions of {circle} go in a circle.", where=self._root.place)
                return list(ordered.values())
            for axis in ready:
                ordered[axis.name] = left.pop(axis.name)
        return list(ordered.values())


def _labels(items: Sequence[Node]) -> dict[str, Node | None]:
    """A name for each alternative: its type; where several have that, what they differ in is not told but
    counted."""
    found: dict[str, Node | None] = {}
    for item in items:
        label = item.text("type") if item.is_mapping else NONE
        number = 2
        free = label or "?"
        while free in found:
            free, number = f"{label}-{number}", number + 1
        found[free] = item if item.is_mapping else None
    return found
