"""What is told of a search: a line for each candidate, with its numbers and the best so far."""

from __future__ import annotations

from modelpress.events import (
    CandidateFinished,
    CandidateStarted,
    Event,
    SearchFinished,
    SearchStarted,
    StepFailed,
    StepFinished,
    StepStarted,
)
from modelpress.figures import duration, plural


class SearchLines:
    """Follows a search event by event. each_step: whether what is done for a candidate is told, too."""

    def __init__(self, *, each_step: bool) -> None:
        self._each_step = each_step
        self._under_way: set[int] = set()

    def hides(self, event: Event) -> bool:
        """Whether nothing is told of the event, because it is a part of a candidate's work."""
        if isinstance(event, CandidateStarted):
            self._under_way.add(event.number)
        elif isinstance(event, CandidateFinished):
            self._under_way.discard(event.number)
        if self._each_step or not self._under_way:
            return False
        return isinstance(event, StepStarted | StepFinished | StepFailed)


def search_line(event: Event) -> str:
    """The line that stays of an event of a search; empty for other events."""
    if isinstance(event, SearchStarted):
        among = plural(event.candidates, "candidate") if event.candidates else "candidates without end"
        known = f"; {event.known} known from an earlier run" if event.known else ""
        return f"search: {plural(event.axes, 'choice')} open, {among}{known}"
    if isinstance(event, CandidateFinished):
        return f"candidate {event.number}: {', '.join(filter(None, _facts(event)))}"
    if isinstance(event, SearchFinished):
        lost = [
            f"{count} {word}" for count, word in ((event.failed, "failed"), (event.pruned, "pruned")) if count
        ]
        tried = plural(event.tried, "candidate") + (f" ({', '.join(lost)})" if lost else "")
        taken = (
            f"candidate {event.best} is the best: {event.choices}" if event.best else "none meets the goals"
        )
        return f"search: {tried} tried, {event.ended}; {taken}"
    return ""


def _facts(event: CandidateFinished) -> list[str]:
    found = [event.choices, event.numbers]
    if event.status != "finished":
        found.append(f"{event.status}: {event.error}")
    elif event.misses:
        found.append(f"misses {event.misses}")
    best = "the best so far" if event.best == event.number else f"best is {event.best}" if event.best else ""
    return [*found, duration(event.seconds), best]
