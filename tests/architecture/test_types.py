"""How much of the code the type checker does not see: `Any`, and the ways around it, per line of code."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = {
    "core": ROOT / "core" / "modelpress",
    "plugins": ROOT / "plugins" / "modelpress_plugins",
    "contrib": ROOT / "plugins_contrib",
}
_NO_CODE = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING,
    tokenize.ENDMARKER,
}  # fmt: skip


class Count(NamedTuple):
    """Of one file. lines: of code, without blanks, comments and docstrings."""

    lines: int
    any: int
    casts: int
    ignores: int


def count(path: Path) -> Count:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts: set[int] = set(_docstrings(tree))
    lines: set[int] = set()
    unseen = ignores = 0
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT:
                ignores += "type: ignore" in token.string
            if token.type in _NO_CODE:
                continue
            lines.update(range(token.start[0], token.end[0] + 1))
            quoted = token.type == tokenize.STRING and token.start[0] not in texts
            unseen += token.string == "Any" or (quoted and bool(re.search(r"\bAny\]", token.string)))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    casts = sum(isinstance(called, ast.Name) and called.id == "cast" for called in calls)
    return Count(len(lines - texts), unseen, casts, ignores)


def _docstrings(tree: ast.AST) -> Iterator[int]:
    """The lines of texts that stand alone: docstrings of modules, classes, functions and fields."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield from range(node.lineno, (node.end_lineno or node.lineno) + 1)


@pytest.fixture(scope="module", params=ROOMS)
def room(request: pytest.FixtureRequest) -> Count:
    counts = [count(path) for path in sorted(ROOMS[request.param].rglob("*.py"))]
    return Count(*(sum(numbers) for numbers in zip(*counts, strict=True)))


def per_thousand(number: int, lines: int) -> float:
    return round(1000 * number / lines, 1)


def test_any_is_rare(room: Count) -> None:
    """Imports of it count. JSON has JSONValue, what is only passed on is an object, what others implement a
    Protocol."""
    assert per_thousand(room.any, room.lines) <= 12


def test_the_checker_is_seldom_overruled(room: Count) -> None:
    """No way out: a cast, or a comment that silences it, says that the types are wrong somewhere."""
    assert per_thousand(room.casts, room.lines) <= 1
    assert per_thousand(room.ignores, room.lines) <= 4


def test_no_other_name_stands_for_any() -> None:
    """`JSONValue = Any` hid half of what the checker did not see."""
    alias = re.compile(
        r"^\s*\w+(: TypeAlias)? = (Any|(dict|Mapping|list|Sequence)\[.*\bAny\b.*\])$", re.MULTILINE
    )
    found = [
        f"{path.relative_to(ROOT).as_posix()}: {match[0].strip()}"
        for folder in ROOMS.values()
        for path in sorted(folder.rglob("*.py"))
        for match in alias.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []
