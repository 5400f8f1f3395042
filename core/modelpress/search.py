"""What a search is made of: the space that it chooses from, and the sampler that decides what is tried next.

Light: samplers of plugins and the configuration both stand on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple, Protocol

from modelpress.json_types import Scalar

Candidate = Mapping[str, Scalar]
"""One choice of a search: a value for each axis that is active in it, by the axis's name."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Numbers from low to high, both included; whole ones where `whole` is true.

    log: as many between 1 and 10 as between 10 and 100; step: only low, low + step, …; 0 for any
    """

    low: float
    high: float
    log: bool = False
    step: float = 0
    whole: bool = False

    def draw(self, random: Random) -> float:
        """One of them by chance."""
        if self.step:
            return self.nearest(self.low + self.step * random.randint(0, self.steps))
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        value = random.uniform(low, high)
        return self.nearest(math.exp(value) if self.log else value)

    def nearest(self, value: float) -> float:
        """The one of them that is nearest to a value."""
        if self.step:
            value = self.low + self.step * round((value - self.low) / self.step)
        value = min(max(value, self.low), self.high)
        return round(value) if self.whole else float(value)

    @property
    def steps(self) -> int:
        """How many steps there are from low to high; 0 without steps."""
        return math.floor((self.high - self.low) / self.step + 1e-9) if self.step else 0


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that is open.

    name:   the dotted option (`passes.quantize.bits`); of alternative passes the step (`passes.quantize`)
    values: what it can be; empty where interval says that
    when:   axis -> those of its values with which this one counts: it is active where all of them hold
    """

    name: str
    values: tuple[Scalar, ...] = ()
    interval: Interval | None = None
    when: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)

    def is_active(self, candidate: Candidate) -> bool:
        """Whether it counts, by the values of the axes before it."""
        return all(axis in candidate and candidate[axis] in allowed for axis, allowed in self.when.items())

    @property
    def choices(self) -> tuple[Scalar, ...] | None:
        """All that it can be; None where that is without end."""
        if self.interval is None:
            return self.values
        whole, step = self.interval.whole, self.interval.step or 1
        if not whole and not self.interval.step:
            return None
        count = math.floor((self.interval.high - self.interval.low) / step + 1e-9)
        found = (self.interval.low + step * index for index in range(count + 1))
        return tuple(round(value) if whole else value for value in found)

    @property
    def first(self) -> Scalar:
        return self.interval.nearest(self.interval.low) if self.interval else self.values[0]

    def draw(self, random: Random) -> Scalar:
        """One of its values by chance."""
        return self.interval.draw(random) if self.interval else random.choice(self.values)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a candidate.

    numbers: full name of each objective -> what was measured; one that is no number is not there, nor one
             that was not measured, because the candidate could not be chosen any more
    misses:  of each goal by how much it is missed, relative to its limit; 0 or less where it is met
    """

    numbers: Mapping[str, float]
    misses: tuple[float, ...] = ()

    @property
    def is_feasible(self) -> bool:
        return all(miss <= 0 for miss in self.misses)


class TriedCandidate(NamedTuple):
    """A candidate that is done. outcome: None when it could not be made."""

    candidate: Candidate
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """What a search may choose from, and what counts.

    axes:       in an order in which each comes after those that its `when` names
    objectives: full name of a number -> whether more of it is better; the most important first
    goals:      how many goals are judged: the length of `misses` in each outcome
    seed:       every choice follows from it
    folder:     where the sampler may keep what it likes between runs of the same search; None for nowhere
    tried:      what the same search did before, in that order: it goes on from there
    pending:    what it asked for after that, and what has come of it is not known yet: told later
    at_once:    how many are under way: the n-th candidate is asked for when all but so many less one of those
                before it were told, in the order in which they were asked for
    """

    axes: tuple[Axis, ...]
    objectives: Mapping[str, bool]
    goals: int = 0
    seed: int = 0
    folder: Path | None = None
    tried: Sequence[TriedCandidate] = ()
    pending: Sequence[Candidate] = ()
    at_once: int = 1

    def every(self) -> Iterator[Candidate]:
        """Every candidate, in the order of the values; those of an axis without end are left out: ask
        `is_finite` first."""
        yield from _complete({}, self.axes)

    @property
    def is_finite(self) -> bool:
        return all(axis.choices is not None for axis in self.axes)

    def draw(self, random: Random) -> Candidate:
        """A candidate by chance: each active axis has each of its values equally often."""
        found: dict[str, Scalar] = {}
        for axis in self.axes:
            if axis.is_active(found):
                found[axis.name] = axis.draw(random)
        return found


def _complete(start: dict[str, Scalar], axes: Sequence[Axis]) -> Iterator[Candidate]:
    if not axes:
        yield start
        return
    first, rest = axes[0], axes[1:]
    if not first.is_active(start):
        yield from _complete(start, rest)
        return
    for value in first.choices or ():
        yield from _complete({**start, first.name: value}, rest)


class Sampler(Protocol):
    """Decides what a search tries next. Asked and told in turn; several candidates may be under way.

    All that it chooses follows from the space, its seed and what it was told: a search that was killed goes
    on with a new sampler, which is given in `SearchSpace.tried` what the last one knew.
    """

    def ask(self) -> Candidate | None:
        """The next candidate, never one that was tried; None when there is no more to try."""

    def tell(self, candidate: Candidate, outcome: Outcome | None) -> None:
        """What became of a candidate; None when it could not be made."""
