"""How a run is shown on a terminal: a bar for the step in work, and a line that stays of each one done."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from modelpress.cli.progress import LogFilter, Progress, closing_line, step_title
from modelpress.cli.text import cut, number, size
from modelpress.events import (
    Event,
    Log,
    Report,
    RunFinished,
    RunStarted,
    StepFailed,
    StepFinished,
    StepStarted,
)
from modelpress.events import Progress as Advance

_WIDE = 90
"""Columns from which the numbers stand beside the bar; below, they have a line of their own."""
_NUMBERS = {"loss": "loss", "tokens_per_second": "tok/s"}
"""Reports that are shown while a step runs -> their unit or label."""


class TerminalProgress(Progress):
    """Draws with rich. Follows a change of the window's width; honours NO_COLOR."""

    def __init__(self, stream: TextIO, level: str | None = None) -> None:
        self._console = Console(file=stream, highlight=False, emoji=False, markup=False)
        self._told = LogFilter(level)
        self._step: StepView | None = None
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._told.begin(event)
        elif isinstance(event, StepStarted):
            self._step = StepView(event)
        elif isinstance(event, Advance) and self._step:
            self._step.advance(event)
        elif isinstance(event, Report) and self._step:
            self._step.numbers[event.name] = event.value
        elif isinstance(event, Log):
            self._told.once(event, self._write_log)
        elif isinstance(event, (StepFinished, StepFailed, RunFinished)):
            self._write_closing(event)

    def close(self) -> None:
        self._step = None
        self._live.stop()

    def _write_closing(self, event: StepFinished | StepFailed | RunFinished) -> None:
        line = closing_line(event, resumed=self._step is not None and self._step.started.resumed)
        self._step = None
        mark, style = ("✗", "bold red") if isinstance(event, StepFailed) else ("✓", "bold green")
        self._console.print(Text.assemble((mark, style), " ", line))

    def _write_log(self, line: str) -> None:
        label, _, message = line.partition(": ")
        self._console.print(Text.assemble((label, "yellow" if label == "warning" else "dim"), ": ", message))

    def _render(self) -> RenderableType:
        return self._step.render(self._console.width) if self._step else Text("")


class StepView:
    """The step in work: how far it is, how fast, how long it will take."""

    def __init__(self, started: StepStarted, clock: Callable[[], float] = time.monotonic) -> None:
        self.started = started
        self.numbers: dict[str, object] = {}
        self._clock = clock
        self._begun = clock()
        self._at = Advance(0, 0, "")
        self._phase = (clock(), 0)
        """When the present phase began, and what was done by then (a resumed step begins in the middle)."""
        self._spinner = Spinner("dots", style="cyan")

    def advance(self, event: Advance) -> None:
        if (event.unit, event.total) != (self._at.unit, self._at.total):
            self._phase = (self._clock(), event.done)
        self._at = event

    def render(self, width: int) -> RenderableType:
        """One line on a wide terminal, two on a narrow one; never wider than it."""
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=1)
        grid.add_column(no_wrap=True)
        title = cut(step_title(self.started), max(width // 2, 16))
        cells: list[RenderableType] = [self._spinner, title]
        if self._at.total:
            grid.add_column(ratio=1)
            grid.expand = True
            cells.append(ProgressBar(self._at.total, min(self._at.done, self._at.total)))
        facts = self.facts()
        if width >= _WIDE:
            grid.add_column(no_wrap=True)
            grid.add_row(*cells, "  ".join(facts))
            return grid
        grid.add_row(*cells)
        lines = Table.grid()
        lines.add_row(grid)
        lines.add_row(Text("  " + _fit(facts, width - 2), style="dim", no_wrap=True))
        return lines

    def facts(self) -> list[str]:
        """`40/90 steps`, `loss 0.123`, `5012 tok/s`, `12 s left`; the most wanted first."""
        found = [self._done()] if self._at.unit else []
        left = self._seconds_left()
        found.append(f"{_clock_time(left)} left" if left is not None else _clock_time(self._elapsed()))
        for name, label in _NUMBERS.items():
            value = self.numbers.get(name)
            if isinstance(value, (int, float)):
                found.append(f"{label} {number(value)}" if name == label else f"{number(value)} {label}")
        return found

    def _done(self) -> str:
        done, total, unit = self._at.done, self._at.total, self._at.unit
        if unit == "bytes":
            return f"{size(done)} of {size(total)}" if total else size(done)
        return f"{done}/{total} {unit}" if total else f"{done} {unit}"

    def _elapsed(self) -> float:
        return self._clock() - self._begun

    def _seconds_left(self) -> float | None:
        since, from_done = self._phase
        progressed = self._at.done - from_done
        if not self._at.total or progressed <= 0:
            return None
        return (self._clock() - since) / progressed * max(self._at.total - self._at.done, 0)


def _clock_time(seconds: float) -> str:
    """`0:07`, `12:40`, `1:02:03`: steady in width, for a line that is drawn again and again."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"


def _fit(facts: list[str], width: int) -> str:
    """As many whole facts as there is room for."""
    line = ""
    for fact in facts:
        longer = f"{line}  {fact}" if line else fact
        if len(longer) > width:
            break
        line = longer
    return line or cut(facts[0], width)
