"""A workflow as it is given: a file, or plain values from Python; and single values that count more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelpress.config.source import describe, read_source, read_value
from modelpress.config.tree import Node
from modelpress.config.written import FREE
from modelpress.errors import Location, Problem, UserError, WorkflowError
from modelpress.nearest import did_you_mean
from modelpress.problems import Problems

_GROUPS = {
    "passes": "pass",
    "data_configs": "data config",
    "systems": "system",
    "evaluators": "evaluator",
}
"""Parts of a workflow that hold things by name -> what such a thing is called."""
_READ_FIRST = ("plugins",)
"""Keys that are read before a workflow is put into today's form."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A value that counts more than what stands at its path. path: dotted, `passes.lora.r`; items of lists by
    their name or number. The place of its nodes is where the user wrote it."""

    path: str
    node: Node

    @classmethod
    def parse(cls, text: str) -> Setting:
        """`passes.lora.r=8`, as it follows --set. Raises UserError."""
        path, equals, value = text.partition("=")
        if not equals or not all(path.split(".")):
            raise UserError(f"--set takes PATH=VALUE, and this is {text!r}.", "E.g. --set passes.lora.r=8")
        return cls(path, read_value(value, Location(f"--set {path}")))

    @classmethod
    def of(cls, path: str, value: object) -> Setting:
        """A value from Python. Raises UserError for one that no workflow can hold."""
        if not all(path.split(".")):
            raise UserError(f"A path of settings has to be dotted names, and this is {path!r}.")
        where = Location(f"settings[{path!r}]")
        return cls(path, _node_of(value, where, path))

    @property
    def text(self) -> str:
        """As it is written after --set."""
        return f"{self.path}={json.dumps(self.node.plain(), ensure_ascii=False)}"

    @property
    def told(self) -> str:
        """As it is written, for records; without a value that may be a secret."""
        hidden = self.node.is_mapping or FREE in self.path.split(".")
        return f"{self.path}={'…' if hidden else json.dumps(self.node.plain(), ensure_ascii=False)}"

    def is_in(self, root: Node) -> bool:
        """Whether there is something at its path."""
        node: Node | None = root
        for name in self.path.split("."):
            node = _child(node, name) if node else None
        return node is not None

    def put(self, root: Node, problems: Problems) -> None:
        """Put the value in its place. Mappings on the way are made, but no pass or system."""
        *way, last = self.path.split(".")
        parent, seen = root, ""
        for depth, name in enumerate([*way, last]):
            if parent.value is None:
                parent.value = {}
            child = _child(parent, name)
            here = f"{seen}.{name}" if seen else name
            if depth == len(way):
                break
            if child is None:
                if not parent.is_mapping or seen in _GROUPS:
                    self._tell_absent(parent, seen, name, problems)
                    return
                child = parent.mapping[name] = Node({}, self.node.place)
            parent, seen = child, here
        if parent.is_mapping:
            parent.mapping[last] = self.node
        elif child is not None:
            parent.items[parent.items.index(child)] = self.node
        else:
            self._tell_absent(parent, seen, last, problems)

    def _tell_absent(self, parent: Node, seen: str, name: str, problems: Problems) -> None:
        names = list(parent.mapping) or [item.text("name") or str(i) for i, item in enumerate(parent.items)]
        if seen in _GROUPS:
            message = f"There is no {_GROUPS[seen]} named {name!r}."
        elif isinstance(parent.value, list):
            message = f"{seen!r} has no item {name!r}."
        else:
            message = f"{seen!r} is {describe(parent.plain())}, and has nothing called {name!r}."
        problems.add(message, did_you_mean(name, names, what="There are"), where=self.node.place)


@dataclass(frozen=True, slots=True)
class Given:
    """file or values: one of the two. values: what the file would hold; paths in it count from the current
    folder. observers: further ones, as nodes. here: everything runs on this machine and is built for it,
    whatever the workflow says."""

    file: Path | None = None
    values: Mapping[str, object] | None = None
    settings: tuple[Setting, ...] = ()
    here: bool = False
    observers: tuple[Node, ...] = ()

    @property
    def path(self) -> Path | None:
        """The file, absolute; None when there is none."""
        return self.file.absolute() if self.file else None

    @property
    def folder(self) -> Path:
        """What relative paths are resolved against."""
        return self.file.absolute().parent if self.file else Path.cwd()

    @property
    def name(self) -> str:
        """The file's without its suffix."""
        return self.file.stem if self.file else "workflow"

    def read(self, problems: Problems) -> Node:
        """All but the settings as one tree. Raises UserError, WorkflowError as read_source does."""
        if self.file is not None:
            return read_source(self.file, problems)
        try:
            return _node_of(self.values or {}, Location("the workflow"), "")
        except RecursionError:
            raise UserError("The workflow is nested too deep; does it hold itself?") from None

    def settle(self, root: Node, problems: Problems) -> list[Setting]:
        """Put those settings into the tree, as it is written, that stand for something in it. Returns the
        others, which are for the tree in today's form."""
        later = []
        for setting in self.settings:
            if setting.is_in(root) or setting.path in _READ_FIRST:
                setting.put(root, problems)
            else:
                later.append(setting)
        return later


def _child(node: Node, name: str) -> Node | None:
    if not isinstance(node.value, list):
        return node.mapping.get(name)
    named = next((item for item in node.items if item.text("name") == name), None)
    return named or (node.items[int(name)] if name.isdecimal() and int(name) < len(node.items) else None)


def _node_of(value: object, place: Location, path: str) -> Node:
    """A node of what Python gives: plain values, and paths as text. Each part's place is its dotted path."""
    if isinstance(value, Mapping):
        if strange := next((key for key in value if not isinstance(key, str)), None):
            raise _no_value(f"A key is {strange!r}, and has to be text.", place)
        return Node({key: _part(child, place, path, key) for key, child in value.items()}, place)
    if isinstance(value, (list, tuple)):
        return Node([_part(child, place, path, str(i)) for i, child in enumerate(value)], place)
    if isinstance(value, Path):
        return Node(str(value), place)
    if value is None or isinstance(value, (bool, int, float, str)):
        return Node(value, place)
    raise _no_value(f"{path!r} is of type {type(value).__name__}; a workflow has plain values only.", place)


def _part(value: object, place: Location, path: str, name: str) -> Node:
    inner = f"{path}.{name}" if path else name
    return _node_of(value, place if place.file.startswith("settings") else Location(inner), inner)


def _no_value(message: str, where: Location) -> WorkflowError:
    return WorkflowError([Problem(message, "Use text, numbers, true, false, None, lists and dicts.", where)])
