"""The search itself: ask the sampler, have the candidate done, tell it; and take the best.

What is proposed and each candidate that is done are in a journal in the cache. A run that was killed, started
again, goes on there: the sampler is told what is known, and nothing of that is done twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice

from filelock import FileLock, Timeout

from modelpress.config.workflow import Search, Strategy
from modelpress.engine.plan import Plan
from modelpress.engine.prepare import Prepared
from modelpress.engine.scheduler import Scheduler
from modelpress.engine.search.candidates import Candidates, NewRunner, Order, choices_text
from modelpress.engine.search.halving import Halving
from modelpress.engine.search.identity import axis_record, count, search_id
from modelpress.engine.search.journal import Journal, Proposal
from modelpress.engine.search.objectives import Objectives
from modelpress.engine.search.plans import CandidatePlans
from modelpress.engine.search.pruning import Pruning
from modelpress.engine.search.record import CandidateRecord, SearchRecord, busy_seconds
from modelpress.engine.search.stages import Stage, Turn, open_stage, stages
from modelpress.engine.step import Done
from modelpress.errors import GoalsMissed, PassError
from modelpress.events import CandidateFinished, CandidateStarted, Log, SearchFinished, SearchStarted
from modelpress.registry import Registry
from modelpress.search import Candidate, Sampler, SearchSpace, TriedCandidate
from modelpress.system import Tell

_KEEP_SECONDS = 1.0
"""Between two writings of the record, which is as long as the search."""
_KEEP_SHARE = 20
"""So many times what a writing takes lies between it and the next, at least."""


class Study:
    """One search."""

    def __init__(
        self,
        base: Plan,
        search: Search,
        prepared: Prepared,
        registry: Registry,
        runner: NewRunner,
        tell: Tell,
        keep: Callable[[SearchRecord], None],
    ) -> None:
        """keep: called with the record as it goes on, at most once a second."""
        if search.strategy is None:
            raise TypeError("The strategy is wrong, and no problem tells why.")
        self._strategy: Strategy = search.strategy
        self._search = search
        self._axes = search.open.axes
        self._prepared = prepared
        self._new_runner = runner
        self._tell = tell
        self._keep = keep
        self._keep_next = 0.0
        metrics = base.workflow.passes[-1].metrics
        self._objectives = Objectives.of(metrics)
        self._plans = CandidatePlans(base, prepared, registry)
        self._at_once = max(prepared.systems.slots(task.system).jobs for task in base.tasks)
        self._record = SearchRecord(
            id=search_id(self._keys(), search, self._objectives),
            sampler=self._strategy.sampler.spec.name,
            execution_order=self._strategy.execution_order,
            seed=self._strategy.seed,
            axes=[axis_record(axis) for axis in self._axes],
            objectives=self._objectives.told(metrics),
            space=count(self._axes),
        )
        self._folder = prepared.cache.folder / "searches" / self._record.id

    def run(self) -> Plan:
        """Search, and return the plan of the best candidate. Raises GoalsMissed where none meets the goals,
        PassError where none could be made."""
        with self._alone(), self._scheduler() as scheduler:
            self._journal = Journal(self._folder)
            if self._journal.has_ended:
                self._journal.forget_failures()
            self._candidates = Candidates(
                self._plans,
                self._new_runner,
                scheduler,
                self._tell,
                self._prepared.cache,
                Pruning(self._objectives, enabled=self._strategy.prune),
                Halving(self._strategy.halving if self._strategy.prune else None),
                self._finish,
            )
            self._update()
            known = len(self._journal.records)
            self._tell(SearchStarted(len(self._axes), self._record.space or 0, known))
            ended = self._stages()
            self._complete_nearest()
            self._journal.end()
            return self._end(ended)

    def _scheduler(self) -> Scheduler[Done]:
        return Scheduler(
            self._prepared.systems.slots,
            self._tell,
            lambda: self._candidates.stop(),
            inline=self._at_once == 1,
        )

    def _keys(self) -> list[str]:
        """Of all that some candidates lead to, which together have each value of each axis: with other code,
        libraries or files this is another search."""
        drafts = (self._plans.draft(candidate) for candidate in self._search.open.covering())
        return sorted({task.key for draft in drafts for task in draft.tasks})

    def _stages(self) -> str:
        """Go through all that is open. Returns why no more is tried."""
        best: Candidate = self._search.base
        ended = ""
        for number, axes in enumerate(stages(self._axes, self._strategy.execution_order), start=1):
            ended = self._stage(open_stage(number, axes, best))
            found = self._best()
            best = found.choices if found else best
        return ended

    def _stage(self, stage: Stage) -> str:
        """The n-th candidate is asked for when all but the last few before it were told (as many as are under
        way at once, less it), in their order: what comes does not depend on who was faster, nor on when a run
        was killed."""
        turn = Turn(stage, self._journal.proposals(stage.number), self._at_once, self._known(stage))
        while turn.may_settle(self._journal.find):
            turn.settle(self._journal.find)
        sampler = self._sampler(stage, turn)
        for index in range(len(turn.settled), len(turn.proposals)):
            self._begin(turn, index)
        while True:
            ended = self._limit(turn) if len(turn.pending) < self._at_once else None
            asked = sampler.ask() if ended == "" else None
            if asked is not None:
                self._propose(turn, asked)
            elif turn.pending:
                self._settle(turn, sampler)
            else:
                return ended or _no_more(stage)

    def _propose(self, turn: Turn, asked: Candidate) -> None:
        choices = dict(turn.stage.whole(asked, self._axes))
        proposal = Proposal(self._journal.number_of(choices), turn.stage.number, choices)
        self._journal.propose(proposal)
        turn.proposals.append(proposal)
        self._begin(turn, len(turn.proposals) - 1)

    def _begin(self, turn: Turn, index: int) -> None:
        proposal = turn.proposals[index]
        if self._journal.find(proposal.number) is not None:
            return
        before = turn.told_before(index)
        self._tell(CandidateStarted(proposal.number, choices_text(proposal.choices)))
        best = self._objectives.best(before)
        self._candidates.begin(
            Order(proposal.number, turn.stage.number, proposal.choices, before=before, best=best)
        )

    def _settle(self, turn: Turn, sampler: Sampler) -> None:
        """Wait for the first that is under way, and tell the sampler."""
        proposal = turn.pending[0]
        while self._journal.find(proposal.number) is None:
            self._candidates.wait()
        record = turn.settle(self._journal.find)
        sampler.tell(turn.asked(proposal), self._objectives.outcome(record))

    def _finish(self, record: CandidateRecord) -> None:
        """A candidate is done."""
        self._journal.add(record)
        self._update()
        best = self._best()
        self._tell(
            CandidateFinished(
                record.number,
                choices_text(record.choices),
                record.status,
                self._numbers(record),
                "; ".join(f"{goal.number} {goal}" for goal in record.goals if not goal.met),
                record.error.message.splitlines()[0] if record.error else "",
                record.seconds,
                best.number if best else 0,
            )
        )

    def _known(self, stage: Stage) -> list[CandidateRecord]:
        return [record for record in self._journal.records if record.stage < stage.number]

    def _sampler(self, stage: Stage, turn: Turn) -> Sampler:
        spec = self._strategy.sampler.spec
        told = zip(turn.proposals, turn.settled, strict=False)
        space = SearchSpace(
            axes=stage.axes,
            objectives={each.number: each.higher_is_better for each in self._objectives.ordered},
            goals=self._objectives.goals,
            seed=self._strategy.seed,
            folder=self._folder / f"stage-{stage.number}",
            tried=[
                TriedCandidate(turn.asked(each), self._objectives.outcome(record)) for each, record in told
            ],
            pending=[turn.asked(each) for each in turn.pending],
            at_once=self._at_once,
        )
        return self._strategy.sampler.call(spec.open, self._strategy.options, space)

    def _limit(self, turn: Turn) -> str | None:
        """Why no more is to be tried; empty while there is no reason; None where those under way decide."""
        records, strategy = [*turn.earlier, *turn.settled], self._strategy
        if strategy.stop_when_goals_met and self._objectives.goals and self._objectives.best(records):
            return "the goals are met"
        if strategy.max_samples and self._journal.count >= strategy.max_samples:
            return f"max_samples {strategy.max_samples} is reached"
        if strategy.max_iter:
            built = sum(record.is_built for record in records)
            if built >= strategy.max_iter:
                return f"max_iter {strategy.max_iter} is reached"
            if built + len(turn.pending) >= strategy.max_iter:
                return None
        if strategy.max_time and busy_seconds(self._journal.records) >= strategy.max_time:
            return f"max_time {strategy.max_time:g} s is reached"
        return ""

    def _best(self) -> CandidateRecord | None:
        """The best so far; the nearest while none meets the goals."""
        records = self._journal.records
        return self._objectives.best(records) or next(iter(self._objectives.nearest(records, 1)), None)

    def _complete_nearest(self) -> None:
        """Where none meets the goals, those that seem nearest are measured to their end: that of which a part
        is not known may miss more than what is known of it."""
        while not self._objectives.best(self._journal.records):
            nearest = self._objectives.promising(self._journal.records)
            if nearest is None or self._out_of_time():
                return
            self._tell(CandidateStarted(nearest.number, choices_text(nearest.choices)))
            self._candidates.begin(Order(nearest.number, nearest.stage, nearest.choices, prune=False))
            while self._candidates.at_work:
                self._candidates.wait()

    def _out_of_time(self) -> bool:
        limit = self._strategy.max_time
        return bool(limit and busy_seconds(self._journal.records) >= limit)

    def _update(self, *, now: bool = False) -> None:
        records, began = self._journal.records, time.monotonic()
        if not now and began < self._keep_next:
            return
        self._record = replace(self._record, candidates=records, front=self._objectives.front(records))
        self._keep(self._record)
        ended = time.monotonic()
        self._keep_next = ended + max(_KEEP_SECONDS, _KEEP_SHARE * (ended - began))

    def _end(self, ended: str) -> Plan:
        records = self._journal.records
        best = self._objectives.best(records)
        nearest = [] if best else self._objectives.nearest(records)
        self._update(now=True)
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
            return self._plans.plan(best.choices, parts=False)
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


def _no_more(stage: Stage) -> str:
    return "every candidate was tried" if count(stage.axes) else "the sampler has no more to try"
