"""How sizes, times, numbers and paths are written for people."""

from __future__ import annotations

import os


def size(count: float) -> str:
    """Bytes for people: `3.1 MB` (powers of ten, as disks are sold)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5 or (unit == "B" and count < 1000):
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.95 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """`0.4 s`, `42.1 s`, `3 min 12 s`, `2 h 05 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def number(value: float) -> str:
    """Four significant digits, without the noise: `0.1235`, `5012`, `97.5`."""
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.4g}"


def plural(count: int, noun: str) -> str:
    """`1 problem`, `2 problems`, `2 passes`, `3 entries`."""
    if count == 1:
        return f"1 {noun}"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{count} {noun[:-1]}ies"
    return f"{count} {noun}{'es' if noun.endswith('s') else 's'}"


def shorten_path(path: str) -> str:
    """The path seen from here, where that is inside this folder; otherwise as it is."""
    here = os.getcwd() + os.sep
    return path[len(here) :] if path.startswith(here) else path
