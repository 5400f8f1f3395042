"""Did you mean …? The nearest of the names that exist."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, names: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The name most like the given one; None when none is like it. Case, `-`, `_` and blanks do not count.

    cutoff: the likeness that is asked for, 0 to 1.
    """
    from difflib import get_close_matches  # noqa: PLC0415 - every command loads this module, few misspell

    by_folded: dict[str, str] = {}
    for candidate in names:
        by_folded.setdefault(_fold(candidate), candidate)
    found = get_close_matches(_fold(name), by_folded, n=1, cutoff=cutoff)
    return by_folded[found[0]] if found else None


def did_you_mean(name: str, names: Iterable[str], *, what: str = "Known", cutoff: float = 0.6) -> str:
    """A hint: the nearest name, or all names when none is near. Empty when there are no names."""
    known = sorted(set(names), key=str.lower)
    found = nearest(name, known, cutoff=cutoff)
    if found:
        return f"Did you mean {found!r}?"
    return f"{what}: {', '.join(known)}." if known else ""


def _fold(name: str) -> str:
    return name.lower().translate({ord(c): None for c in "-_ "})
