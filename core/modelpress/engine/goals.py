"""Goals: whether a measured number is what it is wanted to be, and by how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelpress.config.workflow import Goal, MetricChoice
from modelpress.engine.job import Result
from modelpress.engine.plan import Measurement
from modelpress.errors import PassError
from modelpress.nearest import did_you_mean


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a goal.

    metric:   what the user calls the metric; number: full name of the number
    type, wanted: of the goal, as written; baseline: the number of the input model; None for a threshold
    limit:    what the value had to reach, from below when higher_is_better
    margin:   how far the value lies beyond the limit; negative when the goal is missed, by so much
    """

    metric: str
    number: str
    type: str
    wanted: float
    value: float
    baseline: float | None
    limit: float
    higher_is_better: bool
    margin: float
    met: bool

    def __str__(self) -> str:
        side = "at least" if self.higher_is_better else "at most"
        verdict = "met" if self.met else "missed"
        told = f"goal {verdict} by {_short(abs(self.margin))}: {side} {_short(self.limit)}"
        if self.baseline is None:
            return told
        return f"{told} ({self.type} {_short(self.wanted)}, from {_short(self.baseline)})"


class Judge:
    """Judges the goals of measurements, in the order in which they are done."""

    def __init__(self) -> None:
        self._baselines: dict[str, Result] = {}
        self.judgements: list[Judgement] = []

    def see(self, measured: Measurement, result: Result) -> Sequence[Judgement]:
        """Judge a measurement's goals; one of the input model is kept to compare with."""
        if measured.is_baseline:
            self._baselines[measured.choice.path] = result
            return ()
        _require(measured.choice, result)
        found = self.would_be(measured, result.metrics)
        self.judgements += found
        return found

    def would_be(self, measured: Measurement, numbers: Mapping[str, float]) -> list[Judgement]:
        """What becomes of a measurement's goals with these numbers; of those that are there."""
        baseline = self._baselines.get(measured.choice.path, Result())
        return [
            _judge(measured.choice, number, goal, numbers[number], baseline.metrics.get(number), higher)
            for number, goal, higher in goals(measured.choice)
            if number in numbers
        ]


def goals(choice: MetricChoice) -> list[tuple[str, Goal, bool]]:
    """(full name of the number, its goal, whether higher is better) of each goal of a metric."""
    spec = choice.registered.spec
    return [
        (sub.numbers[0], sub.goal, spec.meaning(sub.numbers[0])[1] if higher is None else higher)
        for sub in choice.sub_metrics
        if sub.goal
        for higher in [sub.higher_is_better]
    ]


def _require(choice: MetricChoice, result: Result) -> None:
    """Of a metric whose numbers only its measurement tells: a goal has to be about one of them."""
    for number, _, _ in goals(choice):
        if number not in result.metrics:
            hint = did_you_mean(number, list(result.metrics), what="It gave")
            raise PassError(f"The metric {choice.name!r} gave no number {number!r}, which has a goal.", hint)


def compares_with_input(choice: MetricChoice) -> bool:
    """Whether a goal of it is about a change, so that the input model has to be measured, too."""
    return any(goal.type != "threshold" for _, goal, _ in goals(choice))


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1e5 else f"{value:g}"


def _judge(
    choice: MetricChoice, number: str, goal: Goal, value: float, baseline: float | None, higher: bool
) -> Judgement:
    sign = 1 if higher else -1
    before = baseline or 0.0
    change = abs(before) * goal.value / 100 if goal.type.startswith("percent-") else goal.value
    if goal.type == "threshold":
        limit, baseline = goal.value, None
    elif goal.type.endswith("min-improvement"):
        limit = before + sign * change
    else:
        limit = before - sign * change
    margin = sign * (value - limit)
    return Judgement(
        choice.name, number, goal.type, goal.value, value, baseline, limit, higher, margin, margin >= 0
    )
