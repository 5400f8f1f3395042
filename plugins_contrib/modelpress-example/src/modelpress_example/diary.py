"""An observer: a diary of runs, a line for each step."""

from __future__ import annotations

from pathlib import Path

from modelpress.api import Event, Observed, StepFinished, open_run
from modelpress_example.options import DiaryOptions


class Diary:
    """A modelpress.api.Observer."""

    def __init__(self, file: Path, run: Observed) -> None:
        self._file = file
        self._run = run

    def see(self, event: Event) -> None:
        if isinstance(event, StepFinished):
            self._write(f"{event.name} is done")

    def close(self) -> None:
        record = open_run(self._run.record)
        numbers = ", ".join(f"{name} {value:.4g}" for name, value in record.metrics.items())
        self._write(f"run {record.id} {record.status}: {numbers}")

    def _write(self, line: str) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def open_diary(options: DiaryOptions, run: Observed) -> Diary:
    return Diary(run.folder / options.file, run)
