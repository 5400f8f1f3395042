"""What the page's plots are drawn from, as JSON: read by page.js."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from modelpress.api import (
    CandidateRecord,
    JSONValue,
    RunRecord,
    TaskRecord,
    curves_told,
    duration,
    history_of,
    size,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricFacts:
    """A number that was measured. limits: what goals want it to reach."""

    name: str
    unit: str = ""
    higher_is_better: bool = True
    limits: Sequence[float] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalFacts:
    """What became of a goal, as a sentence. number: which it is about."""

    number: str
    told: str
    met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateFacts:
    """A candidate. title: its choices as one short text; told: how it went; tasks: what was done for it."""

    number: int
    status: str
    title: str
    told: str
    choices: Mapping[str, JSONValue]
    metrics: Mapping[str, float | None]
    miss: float
    goals: Sequence[GoalFacts]
    tasks: Sequence[str]
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkFacts:
    """A bar of the timeline. row: whose; started: Unix seconds; memory: peak bytes."""

    row: str
    kind: str
    told: str
    started: float
    seconds: float
    memory: int
    cached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A number along the way of a step."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What a step told along its way: at most two numbers, which share a plot."""

    title: str
    unit: str
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is drawn. axes: what was open, by name; winner: the number of the chosen candidate."""

    metrics: Sequence[MetricFacts] = ()
    axes: Sequence[str] = ()
    candidates: Sequence[CandidateFacts] = ()
    winner: int | None = None
    timeline: Sequence[WorkFacts] = ()
    curves: Sequence[Curve] = field(default_factory=list)


_DRAWN = ("loss", "eval_loss", "learning_rate")
"""What is drawn of a step, in this order; at most two, so that each has its own scale."""
_MOST_POINTS = 400
_MOST_CURVES = 12
_MOST_BARS = 400


def facts_of(run: RunRecord, gives: Mapping[str, tuple[str, bool]]) -> Facts:
    """What there is to draw of a run. gives: (unit, higher_is_better) of the numbers that metrics give."""
    search = run.search
    return Facts(
        metrics=list(_metrics(run, gives)),
        axes=[axis.name for axis in search.axes] if search else [],
        candidates=[_candidate(each) for each in search.candidates] if search else [],
        winner=search.winner if search else None,
        timeline=list(_timeline(run))[:_MOST_BARS],
        curves=list(_curves(run)),
    )


def _metrics(run: RunRecord, gives: Mapping[str, tuple[str, bool]]) -> Iterator[MetricFacts]:
    """Those that count come first."""
    judged = [
        *run.goals,
        *(goal for each in (run.search.candidates if run.search else ()) for goal in each.goals),
    ]
    limits: dict[str, dict[float, None]] = {}
    better: dict[str, bool] = {}
    for goal in judged:
        limits.setdefault(goal.number, {})[goal.limit] = None
        better[goal.number] = goal.higher_is_better
    units: dict[str, str] = {}
    for objective in run.search.objectives if run.search else ():
        units[objective.number] = objective.unit
        better[objective.number] = objective.higher_is_better
    measured = [
        *units,
        *run.metrics,
        *(n for each in (run.search.candidates if run.search else ()) for n in each.metrics),
    ]
    for name in dict.fromkeys(measured):
        yield MetricFacts(
            name=name,
            unit=units.get(name, gives.get(name, ("", True))[0]),
            higher_is_better=better.get(name, gives.get(name, ("", True))[1]),
            limits=list(limits.get(name, {})),
        )


def _candidate(candidate: CandidateRecord) -> CandidateFacts:
    told = f"{candidate.status} after {duration(candidate.seconds)}"
    if candidate.error and candidate.status != "finished":
        told += f": {candidate.error.message}"
    return CandidateFacts(
        number=candidate.number,
        status=candidate.status,
        title=title_of(candidate.choices),
        told=told,
        choices=dict(candidate.choices),
        metrics=candidate.metrics,
        miss=candidate.miss,
        goals=[
            GoalFacts(number=goal.number, told=f"{goal.number} {goal.value:.6g}: {goal}", met=goal.met)
            for goal in candidate.goals
        ],
        tasks=[_task(each) for each in candidate.tasks],
        error=_error(candidate),
    )


def _error(candidate: CandidateRecord) -> str:
    if candidate.error is None:
        return ""
    return "\n".join(filter(None, [candidate.error.message, candidate.error.hint, candidate.error.traceback]))


def title_of(choices: Mapping[str, JSONValue]) -> str:
    """`bits 4, sym false`."""
    return ", ".join(f"{name.rsplit('.', 1)[-1]} {_short(value)}" for name, value in choices.items())


def _short(value: JSONValue) -> str:
    return str(value).lower() if isinstance(value, bool | None) else str(value)


def _task(task: TaskRecord) -> str:
    known = [duration(task.seconds), *([size(task.peak_memory)] if task.peak_memory else [])]
    known += [f"{size(task.size)} large"] if task.size else []
    known += ["from the cache"] if task.cached else []
    return f"{task.type} {task.name}".strip() + f": {', '.join(known)}"


def _timeline(run: RunRecord) -> Iterator[WorkFacts]:
    """Each candidate has a row, or each step of a run without a search."""
    for candidate in run.search.candidates if run.search else ():
        for task in candidate.tasks:
            if not task.cached:
                yield WorkFacts(
                    row=f"candidate {candidate.number}",
                    kind=task.kind,
                    told=f"candidate {candidate.number}, {_task(task)}",
                    started=task.started,
                    seconds=task.seconds,
                    memory=task.peak_memory,
                    cached=False,
                )
    if run.search:
        return
    for step in run.steps:
        if step.started:
            cached = ", from the cache" if step.cached else ""
            yield WorkFacts(
                row=step.name,
                kind=step.kind,
                told=f"{step.type} {step.name}: {duration(step.seconds)}, {size(step.peak_memory)}{cached}",
                started=step.started,
                seconds=step.seconds,
                memory=step.peak_memory,
                cached=step.cached,
            )


def _curves(run: RunRecord) -> Iterator[Curve]:
    """Of each training, each once: candidates share them."""
    steps: dict[str, str] = {step.key: f"{step.type} {step.name}" for step in run.steps}
    for candidate in run.search.candidates if run.search else ():
        for task in candidate.tasks:
            steps.setdefault(task.key, f"{task.type} {task.name}, first for candidate {candidate.number}")
    found = 0
    for key, title in steps.items():
        told = curves_told(history_of(run, key))
        lines = [_line(name, told[name]) for name in _DRAWN if name in told][:2]
        if lines:
            yield Curve(title=title, unit="steps", lines=lines)
            found += 1
        if found == _MOST_CURVES:
            return


def _line(name: str, points: Sequence[tuple[float, float]]) -> Line:
    """At most so many points as a screen shows, evenly taken."""
    step = max(1, -(-len(points) // _MOST_POINTS))
    taken = [*points[::step], *([points[-1]] if (len(points) - 1) % step else [])]
    return Line(name=name, x=[x for x, _ in taken], y=[y for _, y in taken])
