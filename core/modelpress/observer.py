"""Who watches a run: what an observer is given, and what it has to have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modelpress.events import Event


@dataclass(frozen=True, slots=True)
class Observed:
    """The run that is watched.

    id:         as `modelpress runs show` knows it; name: what the workflow calls itself
    record:     the file with what is known of the run: `open_run(run.record)` of modelpress.api reads it.
                Written anew before each event that tells of more, and at last before `close`
    folder:     the workflow's, which relative paths of options count from
    output_dir: where the model goes; None when it stays in the cache
    offline:    no network at all
    tell:       says a line to the user
    """

    id: str
    name: str
    record: Path
    folder: Path
    output_dir: Path | None
    offline: bool
    tell: Callable[[str], None]


class Observer(Protocol):
    """What it raises is told once, and it is not called again; the run goes on."""

    def see(self, event: Event, /) -> None:
        """Each event of the run as it happens. The work waits for it: be quick."""

    def close(self) -> None:
        """The run has ended, however that was: the record says how."""
