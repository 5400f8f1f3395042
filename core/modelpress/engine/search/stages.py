"""The parts of a search: all that is open at once, or one pass after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from modelpress.engine.search.journal import Proposal
from modelpress.engine.search.record import CandidateRecord
from modelpress.json_types import Scalar
from modelpress.search import Axis, Candidate


@dataclass(frozen=True, slots=True)
class Stage:
    """number: from 1. axes: what is open in it; fixed: what was decided before it, and the first value of
    what comes after it."""

    number: int
    axes: tuple[Axis, ...]
    fixed: Mapping[str, Scalar]

    def whole(self, candidate: Candidate, axes: Sequence[Axis]) -> Candidate:
        """The candidate of the whole search. axes: of the whole search."""
        found: dict[str, Scalar] = {}
        for axis in axes:
            if not axis.is_active(found):
                continue
            found[axis.name] = candidate.get(axis.name, self.fixed.get(axis.name, axis.first))
        return found


def stages(axes: Sequence[Axis], order: str) -> list[list[Axis]]:
    """The axes of each stage: those of one pass each, in the order of the passes; what is open beside passes
    comes first."""
    if order == "joint":
        return [list(axes)]
    groups: dict[str, list[Axis]] = {}
    for axis in axes:
        parts = axis.name.split(".")
        group = parts[1] if parts[0] == "passes" and len(parts) > 1 else ""
        groups.setdefault(group, []).append(axis)
    return [groups[name] for name in sorted(groups, key=lambda name: (name != "", list(groups).index(name)))]


def open_stage(number: int, axes: Sequence[Axis], best: Candidate) -> Stage:
    """A stage in which the axes are open, with the rest as in the best candidate so far."""
    names = {axis.name for axis in axes}
    return Stage(number, tuple(_within(axes, names, best)), {n: v for n, v in best.items() if n not in names})


def _within(axes: Sequence[Axis], names: set[str], best: Candidate) -> Iterator[Axis]:
    """The axes with the conditions that are still open, without those that what is decided rules out."""
    for axis in axes:
        decided = {name: allowed for name, allowed in axis.when.items() if name not in names}
        if all(name in best and best[name] in allowed for name, allowed in decided.items()):
            yield replace(axis, when={name: axis.when[name] for name in axis.when if name in names})


class Turn:
    """The candidates of one stage, in the order in which they were asked for.

    earlier:   those of the stages before
    proposals: all of this stage; the first of them are settled: done, and told to the sampler
    """

    def __init__(
        self, stage: Stage, proposals: list[Proposal], at_once: int, earlier: Sequence[CandidateRecord]
    ) -> None:
        self.stage = stage
        self.proposals = proposals
        self.earlier = earlier
        self.settled: list[CandidateRecord] = []
        self._at_once = at_once

    @property
    def pending(self) -> Sequence[Proposal]:
        return self.proposals[len(self.settled) :]

    def may_settle(self, find: Callable[[int], CandidateRecord | None]) -> bool:
        """Whether the first that is pending is done, and was told before the next is asked for."""
        pending = self.pending
        return len(pending) >= self._at_once and find(pending[0].number) is not None

    def settle(self, find: Callable[[int], CandidateRecord | None]) -> CandidateRecord:
        """Take the first that is pending as told."""
        record = find(self.pending[0].number)
        if record is None:
            raise ValueError("It is not done.")
        self.settled.append(record)
        return record

    def told_before(self, index: int) -> list[CandidateRecord]:
        """What the sampler knew when it asked for the one with this index."""
        return [*self.earlier, *self.settled[: max(0, index - self._at_once + 1)]]

    def asked(self, proposal: Proposal) -> Candidate:
        """What the sampler of this stage asked for: the axes that were open."""
        names = {axis.name for axis in self.stage.axes}
        return {name: value for name, value in proposal.choices.items() if name in names}
