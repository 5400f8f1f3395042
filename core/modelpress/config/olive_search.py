"""Olive's forms of what a search decides, put into today's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import product

from modelpress.config.dialect import Dialect, pass_sections
from modelpress.config.open_values import OWN_VALUES
from modelpress.config.tree import Node

_OWN = ("DEFAULT_SEARCHABLE_VALUES", "DEFAULT_SEARCH", "SEARCH")
_LISTS = ("categorical", "boolean", "ordinal")
"""Olive's kinds of a list of values. `conditional` depends on values of other options."""
_CONDITIONAL = ("conditional", "conditionaldefault")
_IGNORED, _INVALID = "OLIVE_IGNORED_PARAM_VALUE", "OLIVE_INVALID_PARAM_VALUE"
_STRATEGY = {"search_algorithm": "sampler", "num_samples": "max_samples"}


def translate_search(dialect: Dialect) -> None:
    """One pass in a list becomes that pass, one flow the order of passes."""
    _unwrap_passes(dialect)
    _choose_flow(dialect)
    _translate_values(dialect)
    search = dialect.root.mapping.get("search_strategy")
    if search is None or not search.is_mapping:
        return
    for config in ("search_algorithm_config", "sampler_config"):
        dialect.lift(search, config, config, "keys of search_strategy")
    for old, new in _STRATEGY.items():
        if old in search.mapping:
            dialect.tell(f"search_strategy.{old}", new, search.mapping[old])
            search.rename(old, new)
    if search.text("sampler") == "exhaustive":
        search.mapping["sampler"].value = "sequential"


def _translate_values(dialect: Dialect) -> None:
    """`{type: categorical, support: […]}` is a choice; `DEFAULT_SEARCH` and its like are one word."""
    passes = dialect.root.mapping.get("passes")
    for name, step in passes.mapping.items() if passes else ():
        for section in [step] if step.is_mapping else step.items:
            _translate_conditions(dialect, name, section.mapping.get("config") or section)
    for section in pass_sections(passes):
        for _, node in section.walk():
            support = node.mapping.get("support")
            if isinstance(node.value, str) and node.value in _OWN:
                dialect.tell(node.value, OWN_VALUES, node)
                node.value = OWN_VALUES
            elif node.text("type").lower() in _LISTS and (support is not None or len(node.mapping) == 1):
                dialect.tell("{type: categorical, support: […]}", "{choice: […]}", node)
                both = [Node(True, node.place), Node(False, node.place)]
                node.value = {"choice": support if support is not None else Node(both, node.place)}


def _translate_conditions(dialect: Dialect, step: str, options: Node) -> None:
    """A choice that depends on the values of other options of its pass becomes one with cases."""
    for name, node in list(options.mapping.items()):
        parents = node.mapping.get("parents")
        if node.text("type").lower() not in _CONDITIONAL or parents is None:
            continue
        names = [str(item.value) for item in parents.items]
        known = [_values_of(options.mapping.get(parent)) for parent in names]
        dialect.tell("{type: conditional, …}", "{cases: […]}", node, "It has its default where none holds.")
        cases = []
        for values in product(*known):
            found = _support(node, values)
            if not found:
                continue
            when = {
                f"passes.{step}.{parent}": Node([Node(value.value, value.place)], node.place)
                for parent, value, many in zip(names, values, known, strict=True)
                if len(many) > 1
            }
            case = {"choice": Node(found, node.place), "when": Node(when, node.place)}
            cases.append(Node(case if when else {"choice": case["choice"]}, node.place))
        if not cases:
            del options.mapping[name]
        elif "when" in cases[0].mapping:
            node.value = {"cases": Node(list(cases), node.place)}
        else:
            node.value = cases[0].value


def _values_of(node: Node | None) -> list[Node]:
    """What an option can be: its choice, in either form, or what is written."""
    listed = (node.mapping.get("support") or node.mapping.get("choice")) if node else None
    return listed.items if listed else [node] if node else []


def _support(node: Node, values: Sequence[Node]) -> list[Node]:
    """What it can be with these values of its parents; empty where it is ignored, or may not be."""
    found = node.mapping.get("support")
    for value in values:
        key = value.value if isinstance(value.value, str) else json.dumps(value.value)
        keys = (key, str(value.value))
        found = next((found.mapping[k] for k in keys if k in found.mapping), None) if found else None
    found = found or node.mapping.get("default")
    listed = (found.mapping.get("support") or found.mapping.get("choice") or found) if found else None
    items = (listed.items or [listed]) if listed else []
    return [item for item in items if item.value not in (_IGNORED, _INVALID)]


def _unwrap_passes(dialect: Dialect) -> None:
    passes = dialect.root.mapping.get("passes")
    for name, step in list(passes.mapping.items()) if passes else ():
        if len(step.items) == 1 and step.items[0].is_mapping:
            dialect.tell(f"passes.{name}: [{{…}}]", "the one pass in the list", step)
            step.value = step.items[0].value


def _choose_flow(dialect: Dialect) -> None:
    """The only one of `pass_flows` gives the order of the passes; of several, a search decides. Passes that
    none names are told."""
    flows = dialect.root.mapping.get("pass_flows")
    passes = dialect.root.mapping.get("passes")
    if flows is None or not flows.items or passes is None or not passes.is_mapping:
        dialect.root.mapping.pop("pass_flows", None)
        return
    named = [[str(name.value) for name in flow.items] for flow in flows.items]
    unknown = [name for flow in named for name in flow if name not in passes.mapping]
    if any(name.startswith("<") for name in unknown):
        return  # a placeholder: told with the others
    if unknown:
        message = f"pass_flows names no such pass: {', '.join(dict.fromkeys(unknown))}."
        dialect.problems.add(message, where=flows.place)
        del dialect.root.mapping["pass_flows"]
        return
    entries = {name: passes.mapping[name] for flow in named for name in flow}
    for name, node in passes.mapping.items():
        if name not in entries:
            dialect.tell(f"passes.{name}", "", node, "pass_flows does not name it.")
    search = dialect.root.mapping.get("search_strategy")
    if len({tuple(flow) for flow in named}) > 1 and search is not None and search.value:
        passes.value = entries
        return
    why = "Passes run as they stand."
    if named[1:]:
        first = ", ".join(named[0])
        why = f"Without search_strategy the first flow is built: {first}."
    dialect.tell("pass_flows", "the order of passes", flows, why)
    for name in entries.keys() - set(named[0]):
        dialect.tell(f"passes.{name}", "", entries[name], "It is in another flow.")
    passes.value = {name: passes.mapping[name] for name in named[0]}
    del dialect.root.mapping["pass_flows"]
