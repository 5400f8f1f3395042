"""Options under names that a plugin has declared as old."""

from __future__ import annotations

import json
from collections.abc import Sequence

from modelpress.config.dialect import Dialect
from modelpress.config.tree import Node
from modelpress.specs import Rename


def apply_renames(dialect: Dialect, options: Node, owner: str, renames: Sequence[Rename]) -> None:
    """Give the options in this mapping today's names. owner: `LoRA`, for what is told."""
    for rename in renames:
        node = options.find(rename.old)
        if node is None:
            continue
        old = f"{owner}.{rename.old}"
        if rename.new is None:
            options.remove(rename.old)
            dialect.tell(old, "", node, rename.why)
        elif rename.new != rename.old and options.find(rename.new) is not None:
            dialect.problems.add(
                f"{owner} is given both {rename.old!r} and {rename.new!r}, which are the same option.",
                f"Keep {rename.new!r}.",
                where=node.place,
            )
            options.remove(rename.old)
        else:
            _rename(dialect, options, node, owner, rename)


def _rename(dialect: Dialect, options: Node, node: Node, owner: str, rename: Rename) -> None:
    old, new = f"{owner}.{rename.old}", rename.new or ""
    told = new
    if not isinstance(node.value, dict | list) and node.value in rename.values:
        value = rename.values[node.value]
        old, told = f"{old}: {_short(node.value)}", f"{new}: {_short(value)}"
        node.value = value
    elif new == rename.old:
        return
    dialect.tell(old, told, node, rename.why)
    parent_old, _, last_old = rename.old.rpartition(".")
    parent_new, _, last_new = new.rpartition(".")
    if parent_old == parent_new:
        parent = options.find(parent_old) if parent_old else options
        if parent:
            parent.rename(last_old, last_new)
    else:
        options.remove(rename.old)
        options.put(new, node)


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
