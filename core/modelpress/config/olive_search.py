"""Olive's forms of what a search decides, put into today's."""

from __future__ import annotations

from modelpress.config.dialect import Dialect, pass_sections
from modelpress.config.open_values import OWN_VALUES
from modelpress.config.tree import Node

_OWN = ("DEFAULT_SEARCHABLE_VALUES", "DEFAULT_SEARCH", "SEARCH")
_LISTS = ("categorical", "boolean", "ordinal")
"""Olive's kinds of a list of values. `conditional` depends on values of other options."""
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
    for section in pass_sections(dialect.root.mapping.get("passes")):
        for _, node in section.walk():
            support = node.mapping.get("support")
            if isinstance(node.value, str) and node.value in _OWN:
                dialect.tell(node.value, OWN_VALUES, node)
                node.value = OWN_VALUES
            elif node.text("type").lower() in _LISTS and (support is not None or len(node.mapping) == 1):
                dialect.tell("{type: categorical, support: […]}", "{choice: […]}", node)
                both = [Node(True, node.place), Node(False, node.place)]
                node.value = {"choice": support if support is not None else Node(both, node.place)}


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
