"""What is at work and how far it is: what plain lines and bars both say."""

from __future__ import annotations

import time
from collections.abc import Callable

from modelpress.events import (
    CandidateFinished,
    CandidateStarted,
    Event,
    Progress,
    Report,
    RunStarted,
    StepFailed,
    StepFinished,
    StepStarted,
)
from modelpress.figures import number, size

_NUMBERS = {"loss": "loss", "tokens_per_second": "tok/s"}
"""Reports that are shown while a step runs -> their unit or label."""

Clock = Callable[[], float]


class StepState:
    """One step, or the time between two: how far it is, how fast, how long it will take.

    started: None between steps.
    """

    def __init__(self, title: str, started: StepStarted | None = None, clock: Clock = time.monotonic) -> None:
        self.title = title
        self.started = started
        self.numbers: dict[str, object] = {}
        self.at = Progress(0, 0, "")
        self._clock = clock
        self._begun = clock()
        self._phase = (clock(), 0)
        """When the present phase began, and what was done by then (a resumed step begins in the middle)."""

    def advance(self, event: Progress) -> None:
        if (event.unit, event.total) != (self.at.unit, self.at.total):
            self._phase = (self._clock(), event.done)
        self.at = event

    @property
    def resumed(self) -> bool:
        return self.started is not None and self.started.resumed

    @property
    def tenth(self) -> int:
        """Tenths of the present phase that are done."""
        return self.at.done * 10 // self.at.total if self.at.total else 0

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return self._clock() - self._begun

    def done(self) -> str:
        """`40/90 steps`, `50.0 MB of 100 MB`; empty while nothing is told of it."""
        done, total, unit = self.at.done, self.at.total, self.at.unit
        if unit == "bytes":
            return f"{size(done)} of {size(total)}" if total else size(done)
        return f"{done}/{total} {unit}" if total else f"{done} {unit}" if unit else ""

    def facts(self) -> list[str]:
        """`40/90 steps`, `1:20 left`, `loss 0.123`, `5012 tok/s`; the most wanted first."""
        left = self._seconds_left()
        when = f"{clock_time(self.elapsed)} so far" if left is None else f"{clock_time(left)} left"
        found = [fact for fact in (self.done(), when) if fact]
        for name, label in _NUMBERS.items():
            value = self.numbers.get(name)
            if isinstance(value, (int, float)):
                found.append(f"{label} {number(value)}" if name == label else f"{number(value)} {label}")
        return found

    def _seconds_left(self) -> float | None:
        since, from_done = self._phase
        progressed = self.at.done - from_done
        if progressed <= 0 or self.at.done >= self.at.total:
            return None  # all is done that is counted, and what follows is not
        return (self._clock() - since) / progressed * (self.at.total - self.at.done)


class Watched:
    """Follows a run event by event; `state` is always that of what is at work now."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self.state = StepState("Checking the workflow", clock=clock)
        self._candidates: list[int] = []

    def see(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self.state = StepState("Reading the input model", clock=self._clock)
        elif isinstance(event, CandidateStarted | CandidateFinished):
            self._candidates = [number for number in self._candidates if number != event.number]
            if isinstance(event, CandidateStarted):
                self._candidates.append(event.number)
            if isinstance(event, CandidateStarted) or not self._candidates:
                told = self._told_candidates() or "the next one"
                self.state = StepState(f"Planning {told}", clock=self._clock)
        elif isinstance(event, StepStarted):
            title = f"{self._told_candidates()} {step_title(event)}".strip()
            self.state = StepState(title, event, self._clock)
        elif isinstance(event, (StepFinished, StepFailed)):
            title = "Writing the output" if event.index == event.total else "Preparing the next step"
            self.state = StepState(title, clock=self._clock)
        elif isinstance(event, Progress):
            self.state.advance(event)
        elif isinstance(event, Report):
            self.state.numbers[event.name] = event.value

    def _told_candidates(self) -> str:
        """`candidate 3`, `candidates 3, 4`; empty where none is under way."""
        numbers = ", ".join(map(str, self._candidates))
        return f"candidate{'s' if len(self._candidates) > 1 else ''} {numbers}" if numbers else ""


def step_title(event: StepStarted | StepFinished | StepFailed) -> str:
    """`[1/3] LoRA lora`; a name that is the type's own is not said twice."""
    name = "" if event.name == event.pass_type else f" {event.name}"
    return f"[{event.index}/{event.total}] {event.pass_type}{name}"


def clock_time(seconds: float) -> str:
    """`0:07`, `12:40`, `1:02:03`: steady in width, for a line that is drawn again and again."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
