"""What all translations are made of: lift a level away, leave a key out, move one; each is told."""

from __future__ import annotations

from modelpress.config.translations import Translations
from modelpress.config.tree import Node
from modelpress.problems import Problems


class Dialect:
    """A tree in an older form, while it is being put in today's."""

    def __init__(self, root: Node, problems: Problems, translations: Translations) -> None:
        self.root = root
        self.problems = problems
        self.translations = translations

    def tell(self, old: str, new: str, node: Node, why: str = "") -> None:
        self.translations.add(old, new, node.place, why)

    def lift(self, parent: Node, name: str, old: str, new: str, why: str = "") -> None:
        """Put the entries of parent's mapping `name` in its place. old, new: what is told."""
        inner = parent.mapping.get(name)
        if inner is None or not (inner.is_mapping or inner.value is None):
            return
        self.tell(old, new, inner, why)
        before = dict(parent.mapping)
        parent.mapping.clear()
        for key, node in before.items():
            if key == name:
                for inner_key, child in inner.mapping.items():
                    self._set_once(parent, inner_key, child)
            else:
                self._set_once(parent, key, node)

    def merge(self, parent: Node, section: str, name: str, node: Node) -> None:
        """Put a node under `section` of parent, which is made when it is not there."""
        target = parent.mapping.setdefault(section, Node({}, node.place))
        if target.value is None:
            target.value = {}
        self._set_once(target, name, node)

    def leave_out(self, parent: Node, name: str, old: str, why: str) -> None:
        """Take an entry away that has no meaning."""
        node = parent.mapping.pop(name, None)
        if node is not None:
            self.tell(old, "", node, why)

    def _set_once(self, parent: Node, name: str, node: Node) -> None:
        there = parent.mapping.get(name)
        if there is not None and there.plain() != node.plain():
            self.problems.add(
                f"{name!r} is given twice, with different values: here and in line {there.place.line}.",
                "Keep the one that counts.",
                where=node.place,
            )
            return
        parent.mapping[name] = node


def sections(node: Node | None) -> list[Node]:
    """The mappings in a list of mappings, or in a mapping of mappings."""
    if node is None:
        return []
    return [child for child in (node.items or node.mapping.values()) if child.is_mapping]


def pass_sections(passes: Node | None) -> list[Node]:
    """Every pass, of alternatives each."""
    found = sections(passes)
    for child in passes.mapping.values() if passes else ():
        found += sections(child) if isinstance(child.value, list) else []
    return found


def copy(node: Node) -> Node:
    """A node that can be changed alone."""
    if isinstance(node.value, dict):
        return Node({name: copy(child) for name, child in node.value.items()}, node.place)
    if isinstance(node.value, list):
        return Node([copy(child) for child in node.value], node.place)
    return Node(node.value, node.place)
