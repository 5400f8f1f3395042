"""What an experiment tracker is told of a run, whichever it is: steps, numbers along the way, candidates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from modelpress.api import (
    CandidateFinished,
    CandidateRecord,
    Event,
    JSONValue,
    Observed,
    Progress,
    Report,
    RunRecord,
    StepFinished,
    StepRecord,
    StepStarted,
    open_run,
)

Scalar = str | int | float | bool


class Book(Protocol):
    """Where one run is kept."""

    def step(self, step: StepRecord) -> None:
        """A pass or a metric is done."""

    def number(self, name: str, value: float, at: int) -> None:
        """A number along the way of a step, `step/lora/loss`. at: how far its work was."""

    def candidate(self, candidate: CandidateRecord) -> None:
        """A candidate of a search is done."""

    def end(self, run: RunRecord) -> None:
        """The run has ended."""


class Watch:
    """A modelpress.api.Observer that keeps a book."""

    def __init__(self, run: Observed, book: Book) -> None:
        self._run = run
        self._book = book
        self._step = ""
        self._at = 0
        self._steps = 0
        self._candidates: set[int] = set()
        self._searches = False

    def see(self, event: Event) -> None:
        if isinstance(event, StepStarted):
            self._step, self._at = event.name, 0
        elif isinstance(event, Progress):
            self._at = event.done
        elif isinstance(event, Report):
            if isinstance(event.value, int | float) and not isinstance(event.value, bool):
                self._book.number(f"step/{self._step}/{event.name}", float(event.value), self._at)
        elif isinstance(event, CandidateFinished):
            self._searches = True
            self._catch_up()
        elif isinstance(event, StepFinished) and not self._searches:
            self._catch_up()

    def close(self) -> None:
        self._book.end(self._catch_up())

    def _catch_up(self) -> RunRecord:
        """Tell what the record has that was not told yet."""
        run = open_run(self._run.record)
        for step in run.steps[self._steps :]:
            self._book.step(step)
        self._steps = len(run.steps)
        for candidate in run.search.candidates if run.search else ():
            if candidate.number not in self._candidates:
                self._candidates.add(candidate.number)
                self._book.candidate(candidate)
        return run


def facts_of(run: RunRecord) -> dict[str, Scalar]:
    """What is known of a run beside its numbers."""
    found: dict[str, Scalar] = {
        "run": run.id,
        "workflow": run.workflow,
        "status": run.status,
        "modelpress": run.modelpress,
        "seed": run.seed,
        "input_model": run.input_model.get("identity", ""),
        "artifact": str(run.artifact.path) if run.artifact else "",
        "output_dir": run.output_dir,
        "error": run.error.message if run.error else "",
    }
    return {name: value for name, value in found.items() if value != ""}


def options_of(step: StepRecord) -> dict[str, Scalar]:
    """`lora.training_args.learning_rate` -> the value."""
    return {f"{step.name}.{name}": value for name, value in _flat(step.options)}


def cost_of(step: StepRecord) -> dict[str, float]:
    """What the step took, by name."""
    way = f"step/{step.name}"  # no metric is called so: MLflow keeps names as files and folders
    return {f"{way}/seconds": step.seconds, f"{way}/peak_memory": float(step.peak_memory)}


def _flat(values: Mapping[str, JSONValue], way: str = "") -> Iterator[tuple[str, Scalar]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{way}{name}.")
        elif isinstance(value, list | tuple):
            yield f"{way}{name}", ", ".join(map(str, value))
        elif isinstance(value, str | int | float):
            yield f"{way}{name}", value
