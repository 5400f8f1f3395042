"""The PlanContext that `open`, `plan` and `describe` functions of plugins are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from modelpress.config.workflow import WorkflowParts
from modelpress.context import Accelerator, DataFacts, declared_target
from modelpress.fence import expect
from modelpress.problems import Problems

_MOST_TOLD = 1000
"""Problems and notes of one step: a plan that tells more of them has no end."""


class EndlessTelling(BaseException):
    """Raised where a plan has told too much. No Exception: it must not be caught there."""

    def __init__(self, most: int) -> None:
        super().__init__(f"more than {most:,} notes and problems")


@dataclass(slots=True)
class Findings:
    """Where what is found about a workflow is told: problems with their places, and notes, each once."""

    workflow: WorkflowParts
    problems: Problems
    notes: list[str] = field(default_factory=list)

    def problem(
        self,
        path: str,
        message: str,
        hint: str = "",
        *,
        step: str = "",
        kind: Literal["input", "dependency"] = "input",
    ) -> None:
        """path: dotted, of the native form."""
        self.problems.add(message, hint, where=self.workflow.locate(path), step=step, kind=kind)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


@dataclass(slots=True)
class StepContext:
    """The PlanContext of one step, data config or input model. path: where its options stand in the file.
    target: None where it makes no difference."""

    path: str
    step: str
    offline: bool
    folder: Path
    findings: Findings
    device: str = "cpu"
    target: Accelerator | None = None
    target_is_here: bool = True
    facts: Mapping[str, DataFacts] = field(default_factory=dict)
    memory: int = 0
    told: int = 0

    @property
    def accelerator(self) -> Accelerator:
        return declared_target(self.target, self.step)

    def problem(
        self,
        message: str,
        hint: str = "",
        *,
        option: str = "",
        kind: Literal["input", "dependency"] = "input",
    ) -> None:
        expect(str, message=message, hint=hint, option=option)
        if not message.strip():
            raise ValueError("a problem has to be told, and the message is empty")
        self._count()
        path = f"{self.path}.{option}" if option else self.path
        self.findings.problem(path, message, hint, step=self.step, kind=kind)

    def tell(self, message: str, hint: str, option: str) -> None:
        self.problem(message, hint, option=option)

    def note(self, message: str) -> None:
        expect(str, message=message)
        self._count()
        self.findings.note(f"{self.step}: {message}" if self.step else message)

    def needs(self, *, memory: int = 0) -> None:
        expect(int, memory=memory)
        if memory < 0:
            raise ValueError(f"memory has to be a number from 0, and is {memory}")
        self.memory = max(self.memory, memory)

    def _count(self) -> None:
        self.told += 1
        if self.told > _MOST_TOLD:
            raise EndlessTelling(_MOST_TOLD)

    def data(self, role: str) -> DataFacts | None:
        return self.facts.get(role)
