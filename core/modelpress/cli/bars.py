"""How a run is shown on a terminal: a bar for the step in work, and a line that stays of each one done."""

from __future__ import annotations

import threading
from typing import TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from modelpress.cli.text import cut
from modelpress.events import CandidateFinished, Event, Log, RunStarted, StepFailed
from modelpress.progress.levels import LogFilter, Verbosity
from modelpress.progress.lines import Progress, Reports, closing_line
from modelpress.progress.search import SearchLines
from modelpress.progress.state import StepState, Watched

_WIDE = 90
"""Columns from which the numbers stand beside the bar; below, they have a line of their own."""
_FRAME = 1 / 8
"""Seconds between two drawings."""
_BETWEEN = 0.5
"""Seconds after which what goes on between two steps is shown; mostly it is over before."""


class TerminalProgress(Progress):
    """Draws with rich. Follows a change of the window's width; honours NO_COLOR."""

    def __init__(self, stream: TextIO, verbosity: Verbosity) -> None:
        self._console = Console(file=stream, highlight=False, emoji=False, markup=False)
        self._told = LogFilter(verbosity.level)
        self._each_report = verbosity.each_report
        self._watched = Watched()
        self._reports = Reports(self._watched)
        self._search = SearchLines(each_step=verbosity.each_report)
        self._view = StepView(self._watched.state)
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            auto_refresh=False,  # rich's own thread draws while lines are printed, and leaves pieces of both
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._live.start()
        threading.Thread(target=self._beat, daemon=True, name="modelpress-bars").start()

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._take(event)

    def close(self) -> None:
        self._ended.set()
        with self._lock:
            self._live.stop()

    def _beat(self) -> None:
        while not self._ended.wait(_FRAME):
            with self._lock:
                if not self._ended.is_set():
                    self._live.refresh()

    def _take(self, event: Event) -> None:
        resumed = self._watched.state.resumed
        if self._each_report and self._reports.take(event):
            self._console.print(Text(self._reports.line(), style="dim"))
        self._watched.see(event)
        if self._search.hides(event):
            return
        if isinstance(event, RunStarted):
            self._told.begin(event)
        elif isinstance(event, Log):
            if self._told.is_news(event):
                self._write_log(event)
        elif line := closing_line(event, resumed=resumed):
            failed = isinstance(event, StepFailed) or (
                isinstance(event, CandidateFinished) and event.status == "failed"
            )
            mark, style = ("✗", "bold red") if failed else ("✓", "bold green")
            self._live.refresh()  # the bar of what has ended goes first
            self._console.print(Text.assemble((mark, style), " ", line))

    def _write_log(self, log: Log) -> None:
        style = "yellow" if log.level == "warning" else "dim"
        self._console.print(Text.assemble((log.level, style), ": ", log.message))

    def _render(self) -> RenderableType:
        state = self._watched.state
        if state is not self._view.state:
            self._view = StepView(state)
        if state.started is None and state.elapsed < _BETWEEN:
            return Text("")
        return self._view.render(self._console.width)


class StepView:
    """The step in work, drawn."""

    def __init__(self, state: StepState) -> None:
        self.state = state
        self._spinner = Spinner("dots", style="cyan")

    def render(self, width: int) -> RenderableType:
        """One line on a wide terminal, two on a narrow one; never wider than it."""
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=1)
        grid.add_column(no_wrap=True)
        title = cut(self.state.title, max(width // 2, 16))
        cells: list[RenderableType] = [self._spinner, title]
        at = self.state.at
        if at.total:
            grid.add_column(ratio=1)
            grid.expand = True
            cells.append(ProgressBar(at.total, min(at.done, at.total)))
        facts = self.state.facts()
        if width >= _WIDE:
            grid.add_column(no_wrap=True)
            grid.add_row(*cells, "  ".join(facts))
            return grid
        grid.add_row(*cells)
        lines = Table.grid()
        lines.add_row(grid)
        lines.add_row(Text("  " + _fit(facts, width - 2), style="dim", no_wrap=True))
        return lines


def _fit(facts: list[str], width: int) -> str:
    """As many whole facts as there is room for."""
    line = ""
    for fact in facts:
        longer = f"{line}  {fact}" if line else fact
        if len(longer) > width:
            break
        line = longer
    return line or cut(facts[0], width)
