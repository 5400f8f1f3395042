"""The growing list of what is wrong with a workflow: nothing stops at the first problem."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from modelpress.errors import Location, Problem, WorkflowError
from modelpress.secrets import redact


class Problems:
    """Problems in the order in which they were found. Truthy when there is one."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def add(
        self,
        message: str,
        hint: str = "",
        *,
        where: Location | None = None,
        step: str = "",
        kind: Literal["input", "dependency", "plugin"] = "input",
    ) -> None:
        """Note a problem; one that was told already, word for word and at the same place, is not added."""
        problem = Problem(redact(message), redact(hint), where, step, kind)
        if problem not in self._found:
            self._found.append(problem)

    def take(self, problem: Problem) -> None:
        """Note a problem of another list, once."""
        if problem not in self._found:
            self._found.append(problem)

    def raise_if_any(self) -> None:
        """Raise a WorkflowError with all problems, in the order of the file; those with no place last."""
        if self._found:
            raise WorkflowError(sorted(self._found, key=_place))

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def _place(problem: Problem) -> tuple[bool, str, int, int]:
    where = problem.where
    return (where is None, where.file, where.line, where.column) if where else (True, "", 0, 0)
