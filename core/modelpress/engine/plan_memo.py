"""What was planned once is not planned again for the next candidate of a search: only what is different is.

Parts are known by all that they are made of. What could not be planned without a problem is never kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from modelpress.engine.plan_context import Findings

T = TypeVar("T")


class PlanMemo:
    """Parts of plans of one workflow, with the notes that were told of them."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], tuple[object, list[str]]] = {}

    def once(
        self, key: tuple[str, ...], findings: Findings, make: Callable[[], T], keep: Callable[[T], bool]
    ) -> T:
        """The part with this key, made where it is not known. keep: whether it may be kept."""
        if key in self._known:
            part, notes = self._known[key]
            for note in notes:
                findings.note(note)
            return cast("T", part)
        problems, told = len(findings.problems), findings.notes
        findings.notes = []
        try:
            made = make()
        finally:
            notes, findings.notes = findings.notes, told
            for note in notes:
                findings.note(note)
        if len(findings.problems) == problems and keep(made):
            self._known[key] = made, notes
        return made
