"""What can happen to a file: a flipped bit, a cut, an empty file, another file's content."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

KINDS = ("one byte", "cut", "empty", "[]", "another file's")
_WEIGHTS = (12, 2, 1, 1, 2)


def choose(chance: Random) -> str:
    """A kind of damage: mostly one byte."""
    return chance.choices(KINDS, _WEIGHTS)[0]


def damage(path: Path, kind: str, chance: Random, others: list[Path]) -> bool:
    """Damage a file; False where that changes nothing. others: files that its content may be mistaken for.

    Of half of the changes the time of the last write stays.
    """
    before, stat = path.read_bytes(), path.stat()
    after = _changed(before, kind, chance, others)
    if after == before:
        return False
    path.write_bytes(after)
    if chance.random() < 0.5:
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    return True


def _changed(content: bytes, kind: str, chance: Random, others: list[Path]) -> bytes:
    if kind == "one byte" and content:
        changed = bytearray(content)
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        return bytes(changed)
    if kind == "cut":
        return content[: chance.randrange(len(content))] if content else content
    if kind == "another file's":
        return chance.choice(others).read_bytes() if others else content
    return b"[]" if kind == "[]" else b""
