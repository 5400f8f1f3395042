"""The worker's work without a worker: for debuggers, whose breakpoints in a pass stop here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modelpress import worker
from modelpress.context import Accelerator
from modelpress.engine.process import EventReader
from modelpress.provider import installed_versions
from modelpress.requirements import required_names
from modelpress.system import Environment, Handle, Tell, Traits


class InProcessSystem:
    """Stands for every system of a workflow, and runs its jobs in this very process."""

    traits = Traits()

    def __init__(self, name: str) -> None:
        self.name = name

    def environment(self, requires: Sequence[str]) -> Environment:
        return Environment(libraries=installed_versions(required_names(requires)))

    def has(self, accelerator: Accelerator) -> bool:
        return True  # whoever debugs knows his machine

    def prepare(self, requires: Sequence[str], tell: Tell) -> None:
        """It is there."""

    def submit(self, folder: Path) -> Handle:
        return {"folder": str(folder)}

    def watch(self, handle: Handle, tell: Tell) -> None:
        folder = Path(str(handle["folder"]))
        worker.work(folder)
        EventReader(folder / "events.jsonl", tell).read()

    def collect(self, handle: Handle, parts: Sequence[str], folder: Path) -> None:
        """It is here."""

    def cancel(self, handle: Handle) -> None:
        """It ended with what interrupted it."""

    def close(self) -> None:
        """Nothing is kept."""
