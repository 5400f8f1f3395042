"""What was read as something else; each translation is told once, however often it was made."""

from __future__ import annotations

from dataclasses import replace

from modelpress.config.workflow import Translation
from modelpress.errors import Location


class Translations:
    """Collects translations in the order in which they were made."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str, str], Translation] = {}

    def add(self, old: str, new: str, where: Location, why: str = "") -> None:
        """old is read as new; empty new: it is left out."""
        key = (old, new, why)
        known = self._made.get(key)
        self._made[key] = (
            replace(known, count=known.count + 1) if known else Translation(old, new, why, where)
        )

    def all(self) -> tuple[Translation, ...]:
        """Each once, in the order of the file."""
        return tuple(sorted(self._made.values(), key=lambda t: t.where.line if t.where else 0))
