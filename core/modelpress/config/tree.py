"""A workflow file as a tree that knows where in the file each thing stands.

Translating an older form moves nodes about; each keeps the place where the user wrote it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from modelpress.errors import Location

Scalar = None | bool | int | float | str


class Node:
    """A value. place: of its key in a mapping, of itself in a list."""

    __slots__ = ("place", "value")

    def __init__(self, value: Scalar | dict[str, Node] | list[Node], place: Location) -> None:
        self.value = value
        self.place = place

    @property
    def mapping(self) -> dict[str, Node]:
        """Its entries; an empty dict of no consequence when it is not a mapping."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> list[Node]:
        """Its items; empty when it is not a list."""
        return self.value if isinstance(self.value, list) else []

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.value, dict)

    def text(self, name: str) -> str:
        """The entry of that name when it is text, else empty."""
        entry = self.mapping.get(name)
        return entry.value if entry and isinstance(entry.value, str) else ""

    def find(self, path: str) -> Node | None:
        """The node at a dotted path through mappings."""
        node: Node | None = self
        for name in path.split("."):
            node = node.mapping.get(name) if node else None
        return node

    def put(self, path: str, node: Node) -> None:
        """Set the node at a dotted path, making mappings on the way."""
        *way, last = path.split(".")
        parent = self
        for name in way:
            parent = parent.mapping.setdefault(name, Node({}, node.place))
        parent.mapping[last] = node

    def remove(self, path: str) -> Node | None:
        """Take the node at a dotted path out; a mapping that becomes empty by that goes too."""
        parent_path, _, last = path.rpartition(".")
        parent = self.find(parent_path) if parent_path else self
        node = parent.mapping.pop(last, None) if parent else None
        if node and parent_path and parent and not parent.mapping:
            self.remove(parent_path)
        return node

    def rename(self, old: str, new: str) -> None:
        """Give an entry of this mapping another name; it keeps its place in the order."""
        entries = self.mapping
        renamed = {new if name == old else name: node for name, node in entries.items()}
        entries.clear()
        entries.update(renamed)

    def plain(self) -> Any:
        """As plain JSON values."""
        if isinstance(self.value, dict):
            return {name: child.plain() for name, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def walk(self, path: str = "") -> Iterator[tuple[str, Node]]:
        """Every node below this one with its dotted path."""
        named = enumerate(self.items) if isinstance(self.value, list) else self.mapping.items()
        for name, child in named:
            child_path = f"{path}.{name}" if path else str(name)
            yield child_path, child
            yield from child.walk(child_path)


def make_node(value: Any, place: Location) -> Node:
    """A node of plain values, all at one place."""
    if isinstance(value, dict):
        return Node({name: make_node(child, place) for name, child in value.items()}, place)
    if isinstance(value, list):
        return Node([make_node(child, place) for child in value], place)
    return Node(value, place)
