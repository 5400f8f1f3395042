"""Files made wrong: their text, as an editor, a download or an attacker leaves it; or the document in them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

Path = tuple[str | int, ...]
"""Keys and numbers that lead to a place in a document."""

JUNK: tuple[Any, ...] = (
    None, True, "", "zzz", "0x1F", "-", "\x00", "\u202e", "..", "/", "~", "${HOME}", "${NOT_SET_ANYWHERE}", "é" * 300,
    -1, 0, 1, 2**31, 2**63, 10**30, 1e308, 1e-320, float("nan"), float("inf"), [], {}, [[]], {"": ""}, [None],
    {"type": "zzz"}, ["zzz"], {"zzz": {"zzz": 1}}, "x" * 100_000,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """A document that was changed in one place. before, after: the value there (None where there is none)."""

    document: Any
    how: str
    where: Path
    before: Any = None
    after: Any = None


def change_document(document: Any, chance: Random) -> Change:
    """Change one place of a JSON document."""
    found = list(places(document))
    where = chance.choice(found)
    changed = copy.deepcopy(document)
    parent, key = parent_of(changed, where)
    before = parent[key]
    how = chance.choices(["junk", "remove", "rename", "wrap", "deep", "swap", "add"], [10, 3, 3, 1, 1, 1, 2])[
        0
    ]
    after: Any = None
    if how == "remove" and isinstance(parent, (dict, list)):
        del parent[key]
    elif how == "rename" and isinstance(parent, dict):
        after = _misspelt(str(key), chance)
        parent[after] = parent.pop(key)
    elif how == "add" and isinstance(parent, dict):
        after = chance.choice(JUNK)
        parent[chance.choice(["zzz", "", "type", "name", "path", "id"])] = after
    elif how == "swap":
        other, other_key = parent_of(changed, chance.choice(found))
        after = copy.deepcopy(other[other_key])
        parent[key] = after
    elif how == "wrap":
        parent[key] = after = [before]
    elif how == "deep":
        parent[key] = after = _deep(chance.choice([20, 400, 3000]))
    else:
        how = "junk"
        parent[key] = after = chance.choice(JUNK)
    return Change(changed, how, where, before, after)


def change_text(content: bytes, chance: Random) -> tuple[str, bytes]:
    """(how, the bytes changed): as text, wherever a byte stands."""
    at = chance.randrange(len(content) + 1)
    lines = content.splitlines(keepends=True) or [b""]
    line = chance.randrange(len(lines))
    how = chance.choice(list(_TEXTS))
    return how, _TEXTS[how](content, lines, at, line, chance)


def as_json(document: Any) -> bytes:
    """As Python writes it, NaN and lone surrogates as they come."""
    return json.dumps(document, indent=1).encode("utf-8", "surrogatepass")


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield (*path, key)
        yield from places(child, (*path, key))


def value_of(document: Any, where: Path) -> Any:
    parent, key = parent_of(document, where)
    return parent[key]


def put(document: Any, where: Path, value: Any) -> Any:
    """A copy with that value there."""
    changed = copy.deepcopy(document)
    parent, key = parent_of(changed, where)
    parent[key] = value
    return changed


def parent_of(document: Any, where: Path) -> tuple[Any, Any]:
    for key in where[:-1]:
        document = document[key]
    return document, where[-1]


def _misspelt(key: str, chance: Random) -> str:
    at = chance.randrange(len(key) + 1)
    return key[:at] + chance.choice("qxz_ ") + key[at:]


def _deep(levels: int) -> Any:
    value: Any = "zzz"
    for level in range(levels):
        value = [value] if level % 2 else {"zzz": value}
        if level > 900:  # json.dumps is recursive: deeper ones are made as text
            break
    return value


_TEXTS = {
    "one bit": lambda c, lines, at, n, chance: _flipped(c, chance),
    "cut": lambda c, lines, at, n, chance: c[:at],
    "junk inside": lambda c, lines, at, n, chance: c[:at] + chance.randbytes(chance.randint(1, 9)) + c[at:],
    "a quote inside": lambda c, lines, at, n, chance: c[:at] + chance.choice([b'"', b"'", b"{", b"]", b",", b":", b"\\"]) + c[at:],
    "a line less": lambda c, lines, at, n, chance: b"".join(lines[:n] + lines[n + 1 :]),
    "a line twice": lambda c, lines, at, n, chance: b"".join(lines[: n + 1] + lines[n:]),
    "a line elsewhere": lambda c, lines, at, n, chance: b"".join(chance.sample(lines, len(lines))) if len(lines) < 200 else c[at:] + c[:at],
    "empty": lambda c, lines, at, n, chance: chance.choice([b"", b" ", b"\n", b"null", b"[]", b"{}", b"0", b'""']),
    "another encoding": lambda c, lines, at, n, chance: c.decode("utf-8", "replace").encode(chance.choice(["utf-16", "utf-32", "cp037"]), "replace"),
    "byte-order mark": lambda c, lines, at, n, chance: b"\xef\xbb\xbf" + c,
    "not UTF-8": lambda c, lines, at, n, chance: c[:at] + b"\xff\xfe\xc3\x28" + c[at:],
    "NUL": lambda c, lines, at, n, chance: c[:at] + b"\0" * chance.choice([1, 4096]) + c[at:],
    "a deep nest": lambda c, lines, at, n, chance: c[:at] + b"[" * 100_000 + c[at:],
    "a long number": lambda c, lines, at, n, chance: c[:at] + b"9" * 10_000 + c[at:],
    "something else": lambda c, lines, at, n, chance: chance.choice([b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"<html>404</html>", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"]) + chance.randbytes(64),
}  # fmt: skip


def _flipped(content: bytes, chance: Random) -> bytes:
    if not content:
        return b"\0"
    changed = bytearray(content)
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)
