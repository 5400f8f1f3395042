"""What is kept of a search: in its journal in the cache, and in `run.json` under `search`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from modelpress.engine.goals import Judgement
from modelpress.engine.job import ErrorRecord
from modelpress.json_types import Scalar

Status = Literal["finished", "failed", "pruned", "unmeasured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """One step or measurement of a candidate.

    kind:    pass or metric; after: of a measurement, the number of the step whose model was measured
    key:     of its result in the cache; its history (losses, notes) is in `history/KEY.jsonl` there
    cached:  whether an earlier candidate or run had done it
    started: Unix seconds; seconds, peak_memory (bytes), size (bytes): of the work, whenever it was done
    losses:  of a training: at each point where it was compared with others; steps: how many it has
    """

    name: str
    type: str
    kind: str
    key: str
    cached: bool
    started: float
    seconds: float
    after: int = 0
    peak_memory: int = 0
    size: int = 0
    losses: Sequence[float] = ()
    steps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateRecord:
    """One candidate.

    number:  from 1, in the order of the sampler's proposals
    stage:   of a search pass by pass, which pass it is about, from 1; else 1
    choices: axis -> value
    status:  `finished`: built and measured; `failed`: error tells why; `pruned`: not built, or not measured
             to the end, because it could not have been the best; `unmeasured`: built for what is not here, so
             that what is chosen by was not measured. error tells why
    tasks:   what was done for it, in that order; those before an error, too
    artifact: key of its model in the cache; empty when there is none
    metrics: full name -> value; None for one that is no number
    goals:   what became of each goal; miss: the sum of all misses, each relative to its limit; 0: all are met
    seconds: wall time in this search; started: Unix seconds
    """

    number: int
    stage: int = 1
    choices: Mapping[str, Scalar]
    status: Status
    tasks: Sequence[TaskRecord] = ()
    artifact: str = ""
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    goals: Sequence[Judgement] = ()
    miss: float = 0.0
    seconds: float = 0.0
    started: float = 0.0
    error: ErrorRecord | None = None

    @property
    def is_built(self) -> bool:
        """Whether work was done for it."""
        return bool(self.tasks) or self.status != "pruned"


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisRecord:
    """One thing that was open. values: what it could be; empty for an interval from low to high."""

    name: str
    values: Sequence[Scalar] = ()
    low: float | None = None
    high: float | None = None
    log: bool = False
    when: Mapping[str, Sequence[Scalar]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveRecord:
    """A number that counts; the most important comes first. goals: as written, `max-degradation 0.01`."""

    number: str
    unit: str
    higher_is_better: bool
    goals: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRecord:
    """A search, as far as it has got.

    id:       of its journal in the cache's `searches/`
    space:    how many candidates there are; None for an endless space
    ended:    why no more is tried; empty while it goes on
    winner:   the number of the candidate that was taken; None for none
    nearest:  where no candidate meets the goals: the numbers of those that miss them least
    front:    the numbers of those that no other beats in all objectives
    """

    id: str
    sampler: str
    execution_order: str
    seed: int
    axes: Sequence[AxisRecord]
    objectives: Sequence[ObjectiveRecord]
    space: int | None = None
    candidates: Sequence[CandidateRecord] = ()
    ended: str = ""
    winner: int | None = None
    nearest: Sequence[int] = ()
    front: Sequence[int] = ()


def busy_seconds(records: Sequence[CandidateRecord]) -> float:
    """How long a search was at work on candidates, whatever was done at once."""
    total = until = 0.0
    for record in sorted(records, key=lambda each: each.started):
        end = record.started + record.seconds
        total += max(0.0, end - max(record.started, until))
        until = max(until, end)
    return total
