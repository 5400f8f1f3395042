"""What a search chooses by: the numbers of the last model, in the order of their priority, and its goals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from modelpress.config.workflow import MetricChoice
from modelpress.engine.goals import Judgement, goals
from modelpress.engine.search.record import CandidateRecord, ObjectiveRecord
from modelpress.search import Outcome

NEAREST = 3
"""So many are told where none meets the goals."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A number that counts. priority: 1 is the highest."""

    number: str
    unit: str
    higher_is_better: bool
    priority: int

    def cost(self, numbers: Mapping[str, float | None]) -> float:
        """The less the better; one that is not there, or is no number, is worse than any."""
        value = numbers.get(self.number)
        if value is None or not math.isfinite(value):
            return math.inf
        return -value if self.higher_is_better else value


@dataclass(frozen=True, slots=True)
class Objectives:
    """All that counts. goals: how many are judged."""

    ordered: tuple[Objective, ...]
    goals: int

    @staticmethod
    def of(metrics: Sequence[MetricChoice]) -> Objectives:
        """Those with a priority; where none has one, all that are named, and of a metric that names none the
        first number."""
        found: list[Objective] = []
        unnamed: list[Objective] = []
        for choice in metrics:
            spec = choice.registered.spec
            for sub in choice.sub_metrics:
                unit, higher = spec.meaning(sub.numbers[0])
                better = higher if sub.higher_is_better is None else sub.higher_is_better
                one = Objective(sub.numbers[0], unit, better, sub.priority or 0)
                (found if sub.priority else unnamed).append(one)
            if not choice.sub_metrics:
                unnamed += [Objective(first, *spec.meaning(first), 0) for first in list(spec.gives)[:1]]
        ordered = sorted(found, key=lambda objective: objective.priority) or unnamed
        return Objectives(tuple(ordered), sum(len(goals(choice)) for choice in metrics))

    def outcome(self, record: CandidateRecord) -> Outcome | None:
        """What a sampler is told; None for a candidate that could not be made, or not be measured."""
        if record.status in ("failed", "unmeasured"):
            return None
        numbers = {
            each.number: value
            for each in self.ordered
            if (value := record.metrics.get(each.number)) is not None and math.isfinite(value)
        }
        if record.status == "finished" and len(numbers) < len(self.ordered):
            return None
        misses = [*map(miss_of, record.goals)]
        if record.miss > 0 and not any(miss > 0 for miss in misses):
            misses.append(record.miss)  # by what was estimated
        return Outcome(numbers, tuple(misses[: self.goals] + [0.0] * (self.goals - len(misses))))

    def cost(self, record: CandidateRecord) -> tuple[float, ...]:
        """For sorting: the best first. Those that meet the goals, by the most important number, then the
        next; then those that miss them, the nearest first; last what has no numbers."""
        costs = tuple(objective.cost(record.metrics) for objective in self.ordered)
        whole = record.status == "finished" and all(map(math.isfinite, costs)) and math.isfinite(record.miss)
        return (0.0 if whole else 1.0, record.miss if whole else 0.0, *costs, float(record.number))

    def is_whole(self, record: CandidateRecord) -> bool:
        """Whether it is made, and each number that counts was measured."""
        return self.cost(record)[0] == 0.0

    def best(self, records: Iterable[CandidateRecord]) -> CandidateRecord | None:
        """The best of those that meet all goals; None when none does."""
        fit = [record for record in records if self.is_whole(record) and record.miss <= 0]
        return min(fit, key=self.cost, default=None)

    def nearest(self, records: Iterable[CandidateRecord], count: int = NEAREST) -> list[CandidateRecord]:
        """Those that miss the goals least."""
        return sorted(filter(self.is_whole, records), key=self.cost)[:count]

    def promising(self, records: Iterable[CandidateRecord], count: int = NEAREST) -> CandidateRecord | None:
        """Of those that were left off, the one that may be among the nearest; None when none may."""
        left_off = [record for record in records if record.status == "pruned" and record.miss > 0]
        found = sorted(
            [*left_off, *filter(self.is_whole, records)], key=lambda each: (each.miss, each.number)
        )
        return next((record for record in found[:count] if record.status == "pruned"), None)

    def front(self, records: Sequence[CandidateRecord]) -> list[int]:
        """The numbers of those that no other beats in all objectives."""
        whole = {
            record.number: tuple(objective.cost(record.metrics) for objective in self.ordered)
            for record in records
            if self.is_whole(record)
        }
        return [
            number for number, costs in whole.items() if not any(_beats(o, costs) for o in whole.values())
        ]

    def told(self, metrics: Sequence[MetricChoice]) -> list[ObjectiveRecord]:
        wanted: dict[str, list[str]] = {}
        for choice in metrics:
            for number, goal, _ in goals(choice):
                wanted.setdefault(number, []).append(f"{goal.type} {goal.value:g}")
        return [
            ObjectiveRecord(
                number=each.number,
                unit=each.unit,
                higher_is_better=each.higher_is_better,
                goals=wanted.get(each.number, ()),
            )
            for each in self.ordered
        ]


def miss_of(goal: Judgement) -> float:
    """By how much a goal is missed, relative to its limit where that is not 0; 0 or less when it is met. A
    value that is no number misses it by more than any."""
    if not math.isfinite(goal.margin):
        return math.inf
    return -goal.margin / (abs(goal.limit) or 1.0)


def miss_of_all(found: Sequence[Judgement]) -> float:
    return sum(max(0.0, miss_of(goal)) for goal in found)


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return tuple(one) != tuple(other) and all(a <= b for a, b in zip(one, other, strict=True))
