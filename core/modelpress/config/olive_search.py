"""What Olive can search for: several passes under a name, several values of an option, several flows.

Searching is not built yet. What there is only one of is no search, and is read as what it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from modelpress.config.dialect import Dialect
from modelpress.config.tree import Node

_NAMES = ("SEARCHABLE_VALUES", "DEFAULT_SEARCHABLE_VALUES", "DEFAULT_SEARCH", "SEARCH")
_KINDS = ("categorical", "boolean", "ordinal", "conditional", "conditional_default", "special_param")


def translate_search(dialect: Dialect) -> None:
    """One pass in a list becomes that pass; a strategy is left out where nothing is to be searched."""
    _unwrap_passes(dialect)
    _choose_flow(dialect)
    search = dialect.root.mapping.get("search_strategy")
    if search is None or not search.value:
        return
    if not any(search_points(dialect.root)):
        why = "No pass and no option has a choice, so there is nothing to search."
        dialect.leave_out(dialect.root, "search_strategy", "search_strategy", why)
        return
    if not search.is_mapping:
        return
    dialect.lift(search, "search_algorithm_config", "search_algorithm_config", "keys of search_strategy")
    for old, new in (("search_algorithm", "sampler"), ("num_samples", "max_samples")):
        if old in search.mapping:
            dialect.tell(f"search_strategy.{old}", new, search.mapping[old])
            search.rename(old, new)
    if search.text("sampler") == "exhaustive":
        search.mapping["sampler"].value = "sequential"


def search_points(root: Node) -> Iterator[tuple[str, Node]]:
    """(name of the pass, what has a choice there) of all that a search would have to choose."""
    passes = root.mapping.get("passes")
    for name, step in passes.mapping.items() if passes else ():
        if isinstance(step.value, list):
            yield name, step
            continue
        yield from ((name, node) for _, node in step.walk() if _is_choice(node))


def _is_choice(node: Node) -> bool:
    if isinstance(node.value, str):
        return node.value in _NAMES
    return node.text("type").lower() in _KINDS and {"support", "name"} & node.mapping.keys() != set()


def _unwrap_passes(dialect: Dialect) -> None:
    passes = dialect.root.mapping.get("passes")
    for name, step in list(passes.mapping.items()) if passes else ():
        if len(step.items) == 1 and step.items[0].is_mapping:
            dialect.tell(f"passes.{name}: [{{…}}]", "the one pass in the list", step)
            step.value = step.items[0].value


def _choose_flow(dialect: Dialect) -> None:
    """The first of `pass_flows` gives the order of the passes; the others are told."""
    flows = dialect.root.mapping.pop("pass_flows", None)
    passes = dialect.root.mapping.get("passes")
    if flows is None or not flows.items or passes is None or not passes.is_mapping:
        return
    named = [[str(name.value) for name in flow.items] for flow in flows.items]
    first, others = named[0], named[1:]
    unknown = [name for name in first if name not in passes.mapping]
    if any(name.startswith("<") for name in unknown):
        dialect.root.mapping["pass_flows"] = flows  # a placeholder: told with the others
        return
    if unknown:
        message = f"pass_flows names no such pass: {', '.join(unknown)}."
        dialect.problems.add(message, where=flows.place)
        return
    why = "Passes run as they stand."
    if others:
        why = f"The first flow is built: {', '.join(first)}. For another, write a workflow of its own."
    dialect.tell("pass_flows", "the order of passes", flows, why)
    entries = {name: passes.mapping[name] for name in first}
    for name, node in passes.mapping.items():
        if name not in entries:
            other = any(name in flow for flow in others)
            why = "It is in another flow." if other else "pass_flows does not name it."
            dialect.tell(f"passes.{name}", "", node, why)
    passes.value = entries
