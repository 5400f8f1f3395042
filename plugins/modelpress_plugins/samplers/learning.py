"""Samplers of Optuna: what is tried next follows from what the candidates so far have shown.

The n-th candidate follows from the seed, n, and what was told before: a search that was killed goes on as if
it had not been. The study is kept in the search's folder as Optuna's own journal, for its dashboard.
"""

from __future__ import annotations

import json
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from modelpress.api import Axis, Candidate, Outcome, Sampler, SearchSpace
from modelpress_plugins.samplers.config import Nsga2Options, TpeOptions
from modelpress_plugins.samplers.tried import Tried, text_of

FILE = "optuna.journal"
_DRAWS = 6
"""Proposals that were tried already, after which one of those that are left is drawn."""
Make = Callable[[int], BaseSampler]
"""A sampler of Optuna for a seed."""

optuna.logging.set_verbosity(optuna.logging.ERROR)


def tpe(options: TpeOptions, search: SearchSpace) -> Sampler:
    def make(seed: int) -> BaseSampler:
        with warnings.catch_warnings():  # `group`, for conditional axes, is experimental since Optuna 2.8
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return TPESampler(
                n_startup_trials=options.n_startup_trials,
                multivariate=options.multivariate,
                group=options.multivariate,
                seed=seed,
            )

    return Learning(search, make)


def nsga2(options: Nsga2Options, search: SearchSpace) -> Sampler:
    def make(seed: int) -> BaseSampler:
        return NSGAIISampler(
            population_size=options.population_size,
            mutation_prob=options.mutation_prob,
            seed=seed,
        )

    return Learning(search, make, again=True)


class Learning:
    """A study of Optuna. A trial there is a candidate here."""

    def __init__(self, search: SearchSpace, make: Make, *, again: bool = False) -> None:
        """again: whether what was told before is asked for again, as a sampler needs that remembers more of
        a candidate than its values (its generation)."""
        self._search = search
        self._make = make
        self._tried = Tried(search.axes)
        self._study = _open_study(search)
        self._open: dict[str, Trial] = {}
        done = self._ask_again() if again else 0
        for each in search.tried[done:]:
            self.tell(*each)
        for candidate in search.pending:
            self._tried.add(candidate)

    def _ask_again(self) -> int:
        """Ask and tell as it was done before, as far as the same comes. Returns how many were told."""
        done = 0
        asked = [*(candidate for candidate, _ in self._search.tried), *self._search.pending]
        for number, candidate in enumerate(asked):
            while done < min(number - self._search.at_once + 1, len(self._search.tried)):
                self.tell(*self._search.tried[done])
                done += 1
            if (found := self.ask()) != candidate:
                self._forget(found)
                break
        return done

    def _forget(self, candidate: Candidate | None) -> None:
        if candidate is not None:
            self._tried.remove(candidate)
            self._study.tell(self._open.pop(text_of(candidate)), state=TrialState.FAIL)

    def ask(self) -> Candidate | None:
        number = len(self._tried)
        trial = candidate = None
        for draw in range(_DRAWS):
            self._study.sampler = self._make(zlib.crc32(f"{self._search.seed} {number} {draw}".encode()))
            trial = self._study.ask()
            candidate = _propose(trial, self._search.axes)
            if candidate not in self._tried:
                break
            self._study.tell(trial, state=TrialState.FAIL)  # no news: it takes no part
        else:
            left = self._tried.left()
            if not left:
                return None
            chosen = left[zlib.crc32(f"{self._search.seed} {number}".encode()) % len(left)]
            self._study.enqueue_trial(dict(chosen))
            trial = self._study.ask()
            candidate = _propose(trial, self._search.axes)
        self._tried.add(candidate)
        self._open[text_of(candidate)] = trial
        return candidate

    def tell(self, candidate: Candidate, outcome: Outcome | None) -> None:
        trial = self._open.pop(text_of(candidate), None)
        if trial is None:
            self._tried.add(candidate)
            self._study.add_trial(_finished(self._search, candidate, outcome, self._study))
        elif outcome is None:
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            for name, miss in _constraints(outcome).items():
                trial.set_constraint(name, miss)
            self._study.tell(trial, _values(self._search, outcome.numbers, self._study))


class _Alone(JournalFileOpenLock):
    """The search is locked as a whole: nobody else writes to its folder. (Optuna's own locks outlive a
    process that was killed.)"""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        """Nothing is held."""


class _Kept(JournalFileBackend):
    """Written without waiting for the disk: it is no truth that anything goes on from."""

    def __init__(self, file: Path) -> None:
        super().__init__(str(file), lock_obj=_Alone(str(file)))
        self._file = file

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)


def _open_study(search: SearchSpace) -> optuna.Study:
    """A study of nothing yet."""
    directions = [
        StudyDirection.MAXIMIZE if better else StudyDirection.MINIMIZE
        for better in search.objectives.values()
    ]
    return optuna.create_study(storage=_storage(search.folder), directions=directions)


def _storage(folder: Path | None) -> BaseStorage:
    if folder is None:
        return InMemoryStorage()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / FILE
    file.unlink(missing_ok=True)  # what was told is the truth, and is written again
    return JournalStorage(_Kept(file))


def _propose(trial: Trial, axes: Sequence[Axis]) -> Candidate:
    found: dict[str, str | int | float | bool | None] = {}
    for axis in axes:
        if not axis.is_active(found):
            continue
        value = trial._suggest(axis.name, _distribution(axis))
        found[axis.name] = axis.interval.nearest(float(value)) if axis.interval else value
    return found


def _distribution(axis: Axis) -> BaseDistribution:
    interval = axis.interval
    if interval is None:
        return CategoricalDistribution(axis.values)
    step = interval.step or None
    if interval.whole:
        return IntDistribution(int(interval.low), int(interval.high), interval.log, int(step or 1))
    return FloatDistribution(interval.low, interval.high, interval.log, step)


def _finished(
    search: SearchSpace, candidate: Candidate, outcome: Outcome | None, study: optuna.Study
) -> FrozenTrial:
    return create_trial(
        state=TrialState.FAIL if outcome is None else TrialState.COMPLETE,
        values=None if outcome is None else _values(search, outcome.numbers, study),
        params=dict(candidate),
        distributions={axis.name: _distribution(axis) for axis in search.axes if axis.name in candidate},
        constraints=_constraints(outcome) if outcome else {},
    )


def _values(search: SearchSpace, numbers: Mapping[str, float], study: optuna.Study) -> list[float]:
    """A number that was not measured counts as the worst so far: the candidate could not be chosen."""

    def worst(index: int, *, more_is_better: bool) -> float:
        done = [trial.values[index] for trial in study.get_trials(deepcopy=False) if trial.values]
        return (min if more_is_better else max)(done, default=0.0)

    return [
        numbers[name] if name in numbers else worst(index, more_is_better=better)
        for index, (name, better) in enumerate(search.objectives.items())
    ]


def _constraints(outcome: Outcome) -> dict[str, float]:
    return {f"goal {number}": miss for number, miss in enumerate(outcome.misses, start=1)}
