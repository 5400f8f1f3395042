"""The search itself: ask the sampler, do the candidate, tell it; and take the best.

Each candidate that is done is in a journal in the cache. A run that was killed, started again, goes on after
the last of them: the sampler is told what is there, and nothing of that is done twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice

from filelock import FileLock, Timeout

from modelpress.config.workflow import Search, Strategy
from modelpress.engine.plan import Plan
from modelpress.engine.prepare import Prepared
from modelpress.engine.search.candidates import CandidatePlans, CandidateRunner, choices_text
from modelpress.engine.search.journal import Journal
from modelpress.engine.search.objectives import Objectives
from modelpress.engine.search.record import AxisRecord, CandidateRecord, SearchRecord
from modelpress.engine.search.stages import Stage, open_stage, stages
from modelpress.engine.step import TaskRunner
from modelpress.errors import GoalsMissed, PassError
from modelpress.events import CandidateFinished, CandidateStarted, Event, Log, SearchFinished, SearchStarted
from modelpress.registry import Registry
from modelpress.search import Axis, Candidate, Sampler, SearchSpace, Told

COUNTED = 100_000
"""So many candidates are counted; of more it is only known that there are more."""


class Study:
    """One search."""

    def __init__(
        self,
        base: Plan,
        search: Search,
        prepared: Prepared,
        registry: Registry,
        runner: Callable[[Plan], TaskRunner],
        tell: Callable[[Event], None],
        keep: Callable[[SearchRecord], None],
    ) -> None:
        """keep: called with the record after each candidate."""
        if search.strategy is None:
            raise TypeError("The strategy is wrong, and no problem tells why.")
        self._strategy: Strategy = search.strategy
        self._axes = search.open.axes
        self._complete = search.open.complete
        self._prepared = prepared
        self._tell = tell
        self._keep = keep
        metrics = base.workflow.passes[-1].metrics
        self._objectives = Objectives.of(metrics)
        self._plans = CandidatePlans(base, prepared, registry)
        self._runner = CandidateRunner(self._plans, runner, tell)
        self._record = SearchRecord(
            id=search_id(self._keys(), search, self._objectives),
            sampler=self._strategy.sampler.spec.name,
            execution_order=self._strategy.execution_order,
            seed=self._strategy.seed,
            axes=[_axis_record(axis) for axis in self._axes],
            objectives=self._objectives.told(metrics),
            space=count(self._axes),
        )
        self._folder = prepared.cache.folder / "searches" / self._record.id

    def run(self) -> Plan:
        """Search, and return the plan of the best candidate. Raises GoalsMissed where none meets the goals,
        PassError where none could be made."""
        with self._alone():
            self._journal = Journal(self._folder)
            if self._journal.has_ended:
                self._journal.forget_failures()
            known = self._journal.records
            self._update()
            self._tell(SearchStarted(len(self._axes), self._record.space or 0, len(known)))
            ended = self._stages()
            self._journal.end()
            return self._end(ended)

    def _keys(self) -> list[str]:
        """Of all that some candidates lead to, which together have each value of each axis: with other code,
        libraries or files this is another search."""
        found: set[str] = set()
        covered: set[tuple[str, str]] = set()
        for axis in self._axes:
            for value in axis.values or (axis.first,):
                if (axis.name, _text({"": value})) not in covered:
                    candidate = self._complete({axis.name: value})
                    covered |= {(name, _text({"": chosen})) for name, chosen in candidate.items()}
                    found |= {task.key for task in self._plans.draft(candidate).tasks}
        return sorted(found)

    def _stages(self) -> str:
        """Go through all that is open. Returns why no more is tried."""
        best: Candidate = self._complete({})
        ended = ""
        for number, axes in enumerate(stages(self._axes, self._strategy.execution_order), start=1):
            ended = self._stage(open_stage(number, axes, best))
            found = self._best()
            best = found.choices if found else best
        return ended

    def _stage(self, stage: Stage) -> str:
        sampler = self._sampler(stage)
        seen = {_text(record.choices): record for record in self._journal.records}
        while True:
            if limit := self._limit():
                return limit
            asked = sampler.ask()
            if asked is None:
                return "every candidate was tried" if count(stage.axes) else "the sampler has no more to try"
            candidate = stage.whole(asked, self._axes)
            record = seen.get(_text(candidate))
            if record is None:
                record = self._do(stage, candidate)
                seen[_text(candidate)] = record
            sampler.tell(asked, self._objectives.outcome(record))

    def _do(self, stage: Stage, candidate: Candidate) -> CandidateRecord:
        number = max((record.number for record in self._journal.records), default=0) + 1
        told = choices_text(candidate)
        self._tell(CandidateStarted(number, told))
        record = self._runner.run(number, stage.number, candidate)
        self._journal.add(record)
        self._update()
        best = self._best()
        self._tell(
            CandidateFinished(
                number,
                told,
                record.status,
                self._numbers(record),
                "; ".join(f"{goal.number} {goal}" for goal in record.goals if not goal.met),
                record.error.message.splitlines()[0] if record.error else "",
                record.seconds,
                best.number if best else 0,
            )
        )
        return record

    def _sampler(self, stage: Stage) -> Sampler:
        spec = self._strategy.sampler.spec
        names = {axis.name for axis in stage.axes}
        told = [
            Told({name: value for name, value in record.choices.items() if name in names}, outcome)
            for record in self._journal.records
            if record.stage == stage.number
            for outcome in [self._objectives.outcome(record)]
        ]
        space = SearchSpace(
            axes=stage.axes,
            objectives={each.number: each.higher_is_better for each in self._objectives.ordered},
            goals=self._objectives.goals,
            seed=self._strategy.seed,
            folder=self._folder / f"stage-{stage.number}",
            told=told,
        )
        return self._strategy.sampler.call(spec.open, self._strategy.options, space)

    def _limit(self) -> str:
        """Why no more is to be tried; empty while there is no reason."""
        records, strategy = self._journal.records, self._strategy
        if strategy.stop_when_goals_met and self._objectives.goals and self._objectives.best(records):
            return "the goals are met"
        if strategy.max_samples and len(records) >= strategy.max_samples:
            return f"max_samples {strategy.max_samples} is reached"
        if strategy.max_iter and sum(r.status != "pruned" for r in records) >= strategy.max_iter:
            return f"max_iter {strategy.max_iter} is reached"
        if strategy.max_time and sum(record.seconds for record in records) >= strategy.max_time:
            return f"max_time {strategy.max_time:g} s is reached"
        return ""

    def _best(self) -> CandidateRecord | None:
        """The best so far; the nearest while none meets the goals."""
        records = self._journal.records
        return self._objectives.best(records) or next(iter(self._objectives.nearest(records, 1)), None)

    def _update(self) -> None:
        records = self._journal.records
        self._record = replace(self._record, candidates=records, front=self._objectives.front(records))
        self._keep(self._record)

    def _end(self, ended: str) -> Plan:
        records = self._journal.records
        best = self._objectives.best(records)
        nearest = [] if best else self._objectives.nearest(records)
        self._record = replace(
            self._record,
            ended=ended,
            winner=best.number if best else None,
            nearest=[record.number for record in nearest],
        )
        self._keep(self._record)
        counts = {status: sum(r.status == status for r in records) for status in ("failed", "pruned")}
        told = choices_text(best.choices) if best else ""
        number = best.number if best else 0
        self._tell(SearchFinished(number, told, ended, len(records), counts["failed"], counts["pruned"]))
        if best is not None:
            return self._plans.plan(best.choices)
        if nearest:
            raise GoalsMissed(
                f"None of {len(records)} candidates meets the goals ({ended}). "
                f"Nearest: {self._misses(nearest)}",
                "Loosen a goal, or leave more open.",
            )
        reasons = dict.fromkeys(record.error.message for record in records if record.error)
        listed = "; ".join(islice(reasons, 3))
        raise PassError(f"None of {len(records)} candidates could be made and measured: {listed}")

    def _misses(self, records: Sequence[CandidateRecord]) -> str:
        return "".join(
            f"\n  {record.number}: {choices_text(record.choices)}: "
            + "; ".join(f"{goal.number} {goal.value:.6g}, {goal}" for goal in record.goals if not goal.met)
            for record in records
        )

    def _numbers(self, record: CandidateRecord) -> str:
        known = [(each, record.metrics.get(each.number)) for each in self._objectives.ordered]
        return ", ".join(f"{each.number} {value:.6g}" for each, value in known if value is not None)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the search: two runs of the same one do it once."""
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._folder.parent / f"{self._record.id}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            self._tell(Log("note", "Another run is at work on this search; waiting for it."))
            lock.acquire()
        try:
            yield
        finally:
            lock.release()


def search_id(keys: Sequence[str], search: Search, objectives: Objectives) -> str:
    """What a search is: what is open, how it is decided, and the keys of what every value leads to. How long
    it may go on is no part of it."""
    strategy = search.strategy
    record = {
        "axes": repr(search.open.axes),
        "objectives": repr(objectives),
        "keys": keys,
        "sampler": [strategy.sampler.spec.name, strategy.sampler.identity, strategy.options.canonical()]
        if strategy
        else [],
        "order": [strategy.execution_order, strategy.seed] if strategy else [],
    }
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:32]


def count(axes: Sequence[Axis]) -> int | None:
    """How many candidates there are; None where there are too many to count, or no end of them."""
    space = SearchSpace(tuple(axes), {})
    if not space.is_finite:
        return None
    found = sum(1 for _ in islice(space.every(), COUNTED + 1))
    return found if found <= COUNTED else None


def _axis_record(axis: Axis) -> AxisRecord:
    interval = axis.interval
    return AxisRecord(
        name=axis.name,
        values=axis.values,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        log=bool(interval and interval.log),
        when=axis.when,
    )


def _text(candidate: Candidate) -> str:
    return json.dumps(dict(candidate), sort_keys=True)
