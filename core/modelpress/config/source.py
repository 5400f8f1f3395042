"""Read a YAML or JSON file into a tree with the place of every key.

YAML is read by the rules of YAML 1.2, which are those that people expect: only `true` and `false` are
booleans (`no`, `on` are text), `1e-4` is a number, `012` is twelve, `12:30` and dates are text. Merge keys
(`<<`) work. Tags that make anything but plain values are refused.
"""

from __future__ import annotations

import json
import os
import re
from json.decoder import JSONDecoder
from pathlib import Path

import yaml

from modelpress.config.tree import Node, Scalar, make_node
from modelpress.errors import Location, Problem, UserError, WorkflowError
from modelpress.machine import refusal
from modelpress.nearest import did_you_mean
from modelpress.problems import Problems

_NEEDED = "A workflow has input_model and passes."
_MOST_NODES = 50_000  # aliases may multiply a small file without end
_TAG = "tag:yaml.org,2002:"
_RESOLVERS = (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("merge", r"<<", "<"),
)


def read_source(path: Path, problems: Problems) -> Node:
    """The mapping that the file holds. Keys that are written twice are told as problems; the last counts.

    Raises UserError when there is no such file, WorkflowError when it is not YAML or JSON, or no mapping.
    """
    text = _read_text(path)
    is_json = path.suffix.lower() == ".json"
    if path.suffix.lower() not in (".json", ".yaml", ".yml"):
        is_json = text.lstrip().startswith("{")
    if not text.strip():
        raise _broken("The file is empty.", Location(str(path)), _NEEDED)
    try:
        root = _read_json(text, str(path), problems) if is_json else _read_yaml(text, str(path), problems)
    except RecursionError:
        raise _broken("It is nested too deep to be a workflow.", Location(str(path))) from None
    if not root.is_mapping:
        raise _broken(
            "A workflow is a mapping of keys to values, and this is " + describe(root.plain()) + ".",
            Location(str(path), 1, 1),
        )
    for name, node in root.walk():
        if "\0" in name or (isinstance(node.value, str) and "\0" in node.value):
            raise _broken(f"{name!r} holds a NUL character, which no text or path has.", node.place)
    return root


def read_value(text: str, where: Location) -> Node:
    """One value as it would stand in a YAML file, all of it at that place; nothing is a comment in it.

    Raises WorkflowError when it is not YAML.
    """
    if not text.strip():
        return Node(None, where)
    try:
        composed = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        hint = "Put quotes around it if it is text."
        raise _broken(f"The value {text!r} is not YAML: {_sentence(error)}.", where, hint) from None
    except yaml.reader.ReaderError as error:
        raise _broken(
            f"The value has a character that no text has (U+{error.character:04X}).", where
        ) from None
    plain = isinstance(composed, yaml.ScalarNode) and composed.style is None
    if composed is None or (plain and composed.end_mark.index < len(text.rstrip())):
        return Node(text, where)
    problems = Problems()
    node = _YamlWalk(where.file, problems).value(composed, where)
    problems.raise_if_any()
    return make_node(node.plain(), where)


def describe(value: object, *, secret: bool = False) -> str:
    """A value in words: `text 'x'`, `the number 3`, `a list`. secret: without the value itself."""
    kinds: tuple[tuple[type, str], ...] = ((dict, "a mapping"), (list, "a list"))
    for kind, words in kinds:
        if isinstance(value, kind):
            return words
    if value is None:
        return "empty (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        short = value if len(value) <= 60 else value[:57] + "..."
        return "text" if secret else f"text {short!r}"
    return "a number" if secret else f"the number {value!r}"


def resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """How plain scalars are understood, as PyYAML keeps it: first character -> (tag, pattern)."""
    table: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for name, pattern, firsts in _RESOLVERS:
        for first in firsts:
            entry = (_TAG + name, re.compile(f"^(?:{pattern})$"))
            table.setdefault("" if first == "\0" else first, []).append(entry)
    return table


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"There is no file {path}.", _others(path)) from None
    except (IsADirectoryError, PermissionError) as error:
        if path.is_dir():
            raise UserError(f"{path} is a folder, not a workflow file.") from None
        raise UserError(*refusal(f"{path} cannot be read", error)) from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not text in UTF-8, so it is no YAML or JSON file.") from None
    except OSError as error:
        raise UserError(*refusal(f"{path} cannot be read", error)) from None


def _others(path: Path) -> str:
    """A hint: the workflow files that lie where there is no file of that name."""
    try:
        names = [
            entry for entry in os.listdir(path.parent) if entry.lower().endswith((".json", ".yaml", ".yml"))
        ]
    except OSError:
        return ""
    return did_you_mean(path.name, names[:20], what=f"There are, in {path.absolute().parent}")


def _broken(message: str, where: Location, hint: str = "") -> WorkflowError:
    return WorkflowError([Problem(message, hint, where)])


# JSON ----------------------------------------------------------------------------------------------------


def _read_json(text: str, file: str, problems: Problems) -> Node:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        where = Location(file, error.lineno, error.colno)
        raise _broken(f"This is not JSON: {error.msg}, in column {error.colno}.", where) from None
    return _JsonWalk(text, file, problems).value(_blanks(text, 0), None)[0]


def _blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


class _JsonWalk:
    """Goes through text that is known to be good JSON, noting places."""

    def __init__(self, text: str, file: str, problems: Problems) -> None:
        self._text = text
        self._file = file
        self._problems = problems
        self._decoder = JSONDecoder()
        self._line, self._line_start, self._seen = 1, 0, 0

    def value(self, at: int, place: Location | None) -> tuple[Node, int]:
        """The node that begins at this offset, and the offset after it."""
        place = place or self._place(at)
        if self._text[at] == "{":
            return self._object(at, place)
        if self._text[at] == "[":
            return self._array(at, place)
        scalar, end = self._decoder.raw_decode(self._text, at)
        return Node(scalar, place), end

    def _object(self, at: int, place: Location) -> tuple[Node, int]:
        entries: dict[str, Node] = {}
        at = _blanks(self._text, at + 1)
        while self._text[at] != "}":
            key_place = self._place(at)
            key, at = self._decoder.raw_decode(self._text, at)
            at = _blanks(self._text, _blanks(self._text, at) + 1)  # over the colon
            _tell_repeated(entries, key, key_place, self._problems)
            entries[key], at = self.value(at, key_place)
            at = self._after_item(at)
        return Node(entries, place), at + 1

    def _array(self, at: int, place: Location) -> tuple[Node, int]:
        items: list[Node] = []
        at = _blanks(self._text, at + 1)
        while self._text[at] != "]":
            item, at = self.value(at, None)
            items.append(item)
            at = self._after_item(at)
        return Node(items, place), at + 1

    def _after_item(self, at: int) -> int:
        at = _blanks(self._text, at)
        return _blanks(self._text, at + 1) if self._text[at] == "," else at

    def _place(self, at: int) -> Location:
        # Offsets only grow, so each line end is counted once.
        new_lines = self._text.count("\n", self._seen, at)
        if new_lines:
            self._line += new_lines
            self._line_start = self._text.rindex("\n", self._seen, at) + 1
        self._seen = at
        return Location(self._file, self._line, at - self._line_start + 1)


def _tell_repeated(entries: dict[str, Node], key: str, place: Location, problems: Problems) -> None:
    if key in entries:
        problems.add(
            f"{key!r} is written twice in one mapping.",
            f"It stands in line {entries[key].place.line} already; keep one of them.",
            where=place,
        )


# YAML ----------------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """Composes nodes only; nothing is constructed."""

    yaml_implicit_resolvers = resolvers()


def _read_yaml(text: str, file: str, problems: Problems) -> Node:
    try:
        composed = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = Location(file, mark.line + 1, mark.column + 1) if mark else Location(file)
        hint = "Indent with blanks, not tabs." if "'\\t'" in str(error.problem) else ""
        raise _broken(f"This is not YAML: {_sentence(error)}.", where, hint) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = "This is not YAML: it has a character that no text file has"
        raise _broken(f"{message} (U+{error.character:04X}).", Location(file, line)) from None
    if composed is None:
        raise _broken("The file holds nothing but comments.", Location(file), _NEEDED)
    return _YamlWalk(file, problems).value(composed, None)


def _sentence(error: yaml.MarkedYAMLError) -> str:
    parts = [part for part in (error.context, error.problem) if part]
    return ", ".join(parts)


class _YamlWalk:
    """Turns PyYAML's nodes into ours. An alias becomes a copy, so that each use can be changed alone."""

    def __init__(self, file: str, problems: Problems) -> None:
        self._file = file
        self._problems = problems
        self._count = 0

    def value(self, node: yaml.Node, place: Location | None) -> Node:
        place = place or self._place(node)
        self._count += 1
        if self._count > _MOST_NODES:
            raise _broken("Its aliases make it too large to be a workflow.", place)
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return Node(self._entries(node), place)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return Node([self.value(child, None) for child in node.value], place)
        if isinstance(node, yaml.ScalarNode):
            return Node(self._scalar(node), place)
        raise self._refused(node)

    def _entries(self, node: yaml.MappingNode) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _broken("A key has to be a name, and this is a list or mapping.", self._place(key))
            if key.tag == _TAG + "merge":
                for name, value in self._merged(child).items():
                    merged.setdefault(name, value)
                continue
            place = self._place(key)
            _tell_repeated(entries, key.value, place, self._problems)
            entries[key.value] = self.value(child, place)
        return {**{name: value for name, value in merged.items() if name not in entries}, **entries}

    def _merged(self, node: yaml.Node) -> dict[str, Node]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Node] = {}
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                raise _broken("'<<' takes a mapping or a list of mappings.", self._place(node))
            for name, value in self._entries(source).items():
                merged.setdefault(name, value)
        return merged

    def _scalar(self, node: yaml.ScalarNode) -> Scalar:
        kind, text = node.tag.removeprefix(_TAG), node.value
        try:
            match kind:
                case "str" | "merge":
                    return str(text)
                case "null":
                    return None
                case "bool":
                    return {"true": True, "false": False}[text.lower()]
                case "int":
                    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
                case "float":
                    return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
        except (ValueError, KeyError):
            where = self._place(node)
            raise _broken(f"{text!r} is not what its tag !!{kind} says.", where) from None
        raise self._refused(node)

    def _refused(self, node: yaml.Node) -> WorkflowError:
        tag = node.tag.replace(_TAG, "!!")
        return _broken(
            f"The tag {tag} is not allowed.", self._place(node), "A workflow has plain values only."
        )

    def _place(self, node: yaml.Node) -> Location:
        return Location(self._file, node.start_mark.line + 1, node.start_mark.column + 1)
