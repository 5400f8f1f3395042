"""What is left out of a candidate's work, because it cannot be chosen any more (pruning).

Cheap before dear: what the plan can estimate before anything is built, then the metrics by what they cost,
each that can by a first part of its data. Only what a finished candidate would be refused for ends one early:
the best is the same as if every candidate were built and measured to its end, as far as estimates go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelpress.engine.goals import Judge, Judgement
from modelpress.engine.job import Result
from modelpress.engine.plan import Measurement, Plan, Step
from modelpress.engine.search.objectives import Objectives, miss_of_all
from modelpress.engine.search.record import CandidateRecord

_SLACK = 0.1
"""By so much of its limit an estimate may miss a goal, and the candidate is built to see."""
_DEAR = 2
"""The cost from which on a metric is not measured of what is worse than the best."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a candidate cannot be chosen, and by how much it misses the goals."""

    reason: str
    miss: float = 0.0


@dataclass(frozen=True, slots=True)
class SoFar:
    """What is known of a candidate before its next task. best: what it has to beat."""

    plan: Plan
    next: Step | Measurement
    metrics: Mapping[str, float | None]
    goals: Sequence[Judgement]
    judge: Judge
    best: CandidateRecord | None


class Pruning:
    """Decides whether a candidate is worth its next task. enabled: False for a search that prunes nothing."""

    def __init__(self, objectives: Objectives, *, enabled: bool) -> None:
        self._objectives = objectives
        self.enabled = enabled

    def ordered(self, plan: Plan, *, parts: bool) -> list[Step | Measurement]:
        """The tasks of a plan, the cheap ones of the last model first. parts: whether to measure parts."""
        last = len(plan.steps)
        tasks = [task for task in plan.tasks if (parts and self.enabled) or not _is_part(task)]
        before = [task for task in tasks if isinstance(task, Step) or task.after < last]
        measured = [task for task in tasks if isinstance(task, Measurement) and task.after == last]
        return [*before, *sorted(measured, key=lambda task: (task.registered.spec.cost, not task.is_part))]

    def verdict(self, so_far: SoFar) -> Verdict | None:
        """Why the next task is not worth while; None when it is."""
        if not self.enabled:
            return None
        missed = [goal for goal in so_far.goals if not goal.met]
        if missed:
            return Verdict("; ".join(map(_told, missed)), miss_of_all(missed))
        if isinstance(so_far.next, Step):
            return _by_estimate(so_far) if so_far.next.index == 1 else None
        return self._by_best(so_far, so_far.next)

    def of_part(self, task: Measurement, result: Result, judge: Judge) -> Verdict | None:
        """By what a metric said of the first rows: only what it is sure of, twice over."""
        found = []
        for end in range(2):
            numbers = {
                name: value + 2 * (result.intervals.get(name, (value, value))[end] - value)
                for name, value in result.metrics.items()
            }
            found.append(judge.would_be(task, numbers))
        sure = [goal for goal, other in zip(*found, strict=True) if not (goal.met or other.met)]
        if not sure:
            return None
        values = judge.would_be(task, result.metrics)
        option, number = task.registered.spec.part or ("", 0)
        return Verdict(f"by {option} {number}: {'; '.join(map(_told, values))}", miss_of_all(values))

    def _by_best(self, so_far: SoFar, task: Measurement) -> Verdict | None:
        """A limit is not looked at where the candidate is worse than the best in what is chosen by."""
        spec = task.registered.spec
        wanted = {objective.number for objective in self._objectives.ordered}
        if so_far.best is None or spec.cost < _DEAR or wanted & set(spec.gives) or task.is_baseline:
            return None
        for objective in self._objectives.ordered:
            if objective.number not in so_far.metrics:
                return None
            mine, its = objective.cost(so_far.metrics), objective.cost(so_far.best.metrics)
            if mine < its:
                return None
            if mine > its:
                value = so_far.metrics[objective.number]
                return Verdict(
                    f"{objective.number} {value:.6g} is worse than that of candidate {so_far.best.number}, "
                    f"{so_far.best.metrics[objective.number]:.6g}"
                )
        return None


def _by_estimate(so_far: SoFar) -> Verdict | None:
    steps = so_far.plan.steps
    for task in so_far.plan.measurements:
        spec = task.registered.spec
        if task.after < len(steps) or task.is_baseline or task.is_part or not spec.estimate:
            continue
        numbers = task.registered.call(spec.estimate, steps[-1].facts_out, task.resolved.here)
        found = so_far.judge.would_be(task, numbers)
        missed = [goal for goal in found if goal.margin < -_SLACK * abs(goal.limit)]
        if missed:
            return Verdict(f"by its plan: {'; '.join(map(_told, missed))}", miss_of_all(missed))
    return None


def _is_part(task: Step | Measurement) -> bool:
    return isinstance(task, Measurement) and task.is_part


def _told(goal: Judgement) -> str:
    return f"{goal.number} {goal.value:.6g}, {goal}"
