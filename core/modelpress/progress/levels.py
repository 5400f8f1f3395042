"""How much of a run is told: levels of log lines, and which were told already."""

from __future__ import annotations

from dataclasses import dataclass

from modelpress.events import Log, RunStarted

LEVELS = ("debug", "info", "note", "warning")
"""Of log lines, from the most talkative."""
_BY_SEVERITY = ("debug", "info", "warning", "error", "error")
"""log_severity_level -> the least level that is told."""


@dataclass(frozen=True, slots=True)
class Verbosity:
    """level: the least level of log lines; None is the workflow's own, `note` when it has none.
    quiet: nothing of how the work goes, its result alone. each_report: every number as it is reported."""

    level: str | None = None
    quiet: bool = False
    each_report: bool = False


class LogFilter:
    """Which log lines were told: each text once, and none below the level."""

    def __init__(self, level: str | None) -> None:
        """level: None goes by the workflow's log_severity_level, `note` when it has none."""
        self._by_workflow = level is None
        self._least = _rank(level or "note")
        self._texts: set[str] = set()

    def begin(self, run: RunStarted) -> None:
        """A run begins, and its workflow may say how much is to be told."""
        if self._by_workflow and run.log_severity_level is not None:
            self._least = _rank(_BY_SEVERITY[run.log_severity_level])

    def is_news(self, log: Log) -> bool:
        """Whether it is to be told, and was not told yet; it counts as told then."""
        if LEVELS.index(log.level) < self._least or log.message in self._texts:
            return False
        self._texts.add(log.message)
        return True


def _rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)
