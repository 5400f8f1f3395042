"""Trainings that are behind are ended early: of those that got as far, one in so many goes on (asynchronous
successive halving, L. Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2018).

A training is compared after a ninth and after a third of its steps (by a factor of 3), by the loss that it
reports, with the trainings of the same pass and as many steps that were told before it began: what goes on
does not depend on who was faster. The first few always go on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from modelpress.engine.history import Reported
from modelpress.engine.plan import Measurement, Step
from modelpress.engine.search.record import CandidateRecord, TaskRecord
from modelpress.errors import Pruned
from modelpress.events import Event, Progress, Report
from modelpress.system import Tell

_RUNGS = 2
"""So many times a training is compared before its end."""
_FACTOR = 3


class Halving:
    """factor: of so many trainings one goes on; None ends none."""

    def __init__(self, factor: int | None) -> None:
        self._factor = factor

    def rungs(self, curve: Sequence[Reported]) -> tuple[int, list[float]]:
        """(steps in all, the loss at each point of comparison that it came to)."""
        factor = self._factor or _FACTOR
        found: list[float] = []
        for share in (factor ** (rung - _RUNGS) for rung in range(_RUNGS)):
            at = next((each for each in curve if each.done >= share * each.total), None)
            if at is None:
                break
            found.append(at.value)
        return (curve[-1].total if curve else 0), found

    def watch(
        self,
        task: Step | Measurement,
        told: Sequence[Reported],
        before: Sequence[CandidateRecord],
        tell: Tell,
    ) -> Tell:
        """What the task tells goes through it. told: what it told until an earlier run was killed. It raises
        Pruned for a training that is behind."""
        loss = task.registered.spec.loss if isinstance(task, Step) else ""
        if not loss or self._factor is None:
            return tell
        others = {
            done.key: done
            for record in before
            for done in record.tasks
            if done.type == task.type_name and done.losses and done.key != task.key
        }
        return _Watch(self, self._factor, loss, list(told), list(others.values()), tell)


class _Watch:
    def __init__(
        self,
        halving: Halving,
        factor: int,
        loss: str,
        curve: list[Reported],
        others: Sequence[TaskRecord],
        tell: Tell,
    ) -> None:
        self._halving = halving
        self._factor = factor
        self._loss = loss
        self._curve = curve
        self._others = others
        self._tell = tell
        self._at = Progress(0, 0, "")
        self._passed = 0
        self._look()

    def __call__(self, event: Event) -> None:
        self._tell(event)
        if isinstance(event, Progress):
            self._at = event
        elif isinstance(event, Report) and event.name == self._loss and self._at.total:
            value = event.value
            if isinstance(value, int | float):
                self._curve.append(Reported(self._at.done, self._at.total, float(value)))
                self._look()

    def _look(self) -> None:
        total, losses = self._halving.rungs(self._curve)
        for rung in range(self._passed, len(losses)):
            self._passed = rung + 1
            same = (each.losses for each in self._others if each.steps == total)
            others = [each[rung] for each in same if len(each) > rung]
            if len(others) + 1 < self._factor:
                continue
            going_on = max(1, math.ceil((len(others) + 1) / self._factor))
            better = sum(other < losses[rung] for other in others)
            if better >= going_on:
                done = next(each.done for each in self._curve if each.value == losses[rung])
                raise Pruned(
                    f"Its {self._loss} after {done} of {total} steps is {losses[rung]:.4g}: "
                    f"{better} of {len(others)} others did better, and {going_on} go on from there."
                )
