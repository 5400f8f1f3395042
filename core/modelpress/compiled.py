"""Compiled code that is carried to another Python: whether it is made for it, by the tags of its files."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from modelpress.provider import shipped_files

_COMPILED = (".so", ".pyd", ".dylib", ".dll")


def not_for(code: Iterable[Path], suffixes: tuple[str, ...]) -> Path | None:
    """A compiled file that a Python with these suffixes cannot import; None where all will do.

    code: folders and files as they are shipped from here. A file without a tag of its own (`abi3`, a library
    beside a module) was installed for this machine, and will do where the other is alike.
    """
    alike = not suffixes or _machine(suffixes) == _machine(EXTENSION_SUFFIXES)
    for root in code:
        for file in _compiled(root):
            suffix = _tagged(file.name)
            if (suffix not in suffixes) if suffix else not alike:
                return file
    return None


def suffixes_of(python: str) -> tuple[str, ...]:
    """Those of another version of Python (`3.12.4`) on this machine."""
    here, there = _tag(EXTENSION_SUFFIXES[0]), "".join(python.split(".")[:2])
    name = here.rstrip("0123456789")
    return tuple(suffix.replace(here, f"{name}{there}") for suffix in EXTENSION_SUFFIXES)


@cache
def _compiled(root: Path) -> tuple[Path, ...]:
    files = [root] if root.is_file() else shipped_files(root)
    return tuple(file for file in files if file.suffix in _COMPILED)


def _tagged(name: str) -> str:
    """`.cpython-311-x86_64-linux-gnu.so` or `.cp311-win_amd64.pyd` of a name; empty where it has none."""
    parts = name.split(".")
    tagged = len(parts) > 2 and parts[-2].startswith(("cpython-", "cp3", "pypy"))
    return f".{parts[-2]}.{parts[-1]}" if tagged else ""


def _tag(suffix: str) -> str:
    """`cpython-311` of `.cpython-311-x86_64-linux-gnu.so`, `cp311` of `.cp311-win_amd64.pyd`."""
    parts = suffix.strip(".").split(".")[0].split("-")
    return "-".join(parts[:2]) if parts[0] == "cpython" else parts[0]


def _machine(suffixes: Iterable[str]) -> str:
    """`x86_64-linux-gnu` of the first of them: processor, system, C library."""
    first = next(iter(suffixes), "")
    return first.removeprefix(f".{_tag(first)}").strip("-").partition(".")[0]
