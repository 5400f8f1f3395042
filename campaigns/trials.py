"""Trials of a case, one after another, each with chance of its own: any single one can be done again.

Trial 17 of `flips` depends on the seed and on `flips:17` alone, not on the trials before it.
"""

from __future__ import annotations

import faulthandler
import os
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Protocol


class Broken(Exception):
    """What must hold did not: a trial found a fault."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A trial that held. what: the kind of thing that was done; how: what became of it."""

    what: str
    how: str


_crash_log = 2
"""The descriptor that a hang is told on."""

Trial = Callable[[Random, Path], Outcome]
"""Does one thing at random in an empty folder. Raises Broken when what must hold does not."""


class Case(Protocol):
    """A module of campaigns/cases.

    NAME:  as it is asked for
    TITLE: as the page calls it
    ABOUT: Markdown: what is done, and what must hold
    COUNT: trials of a whole campaign; FEW: those of CI
    LIMIT: seconds that one trial may take
    """

    NAME: str
    TITLE: str
    ABOUT: str
    COUNT: int
    FEW: int
    LIMIT: float

    def begin(self, folder: Path) -> Trial:
        """Make what all trials share, in that folder. Raises Skipped where this machine cannot do them."""


class Skipped(Exception):
    """The case needs what this machine has not."""


@dataclass(slots=True)
class Tally:
    """What became of the trials of a case: what -> how -> number; faults, a text each."""

    seed: int
    held: dict[str, Counter[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    skipped: str = ""

    @property
    def count(self) -> int:
        return sum(sum(each.values()) for each in self.held.values()) + len(self.faults)


def run_case(case: Case, seed: int, numbers: Iterable[int], folder: Path, minutes: float) -> Tally:
    """Do those trials of a case; every fault is told at once, with how it is done again.

    minutes: no trial begins after as long
    """
    tally = Tally(seed)
    (folder / "shared").mkdir(parents=True)
    try:
        trial = case.begin(folder / "shared")
    except Skipped as reason:
        tally.skipped = str(reason)
        print(f"{case.NAME}: left out: {reason}", flush=True)
        return tally
    begun = time.monotonic()
    for number in numbers:
        if time.monotonic() - begun > minutes * 60:
            print(f"{case.NAME}: {minutes:g} minutes are over after {tally.count} trials", flush=True)
            break
        place = folder / str(number)
        place.mkdir()
        found = _one(case, trial, Random(f"{seed} {case.NAME} {number}"), place)
        if isinstance(found, Outcome):
            tally.held.setdefault(found.what, Counter())[found.how] += 1
            shutil.rmtree(place, ignore_errors=True)
        else:
            tally.faults.append(found)
            print(f"{case.NAME}:{number} FAULT: {found}", flush=True)
            print(f"    again: SEED={seed} CASES={case.NAME}:{number} make campaign", flush=True)
    tally.seconds = time.monotonic() - begun
    return tally


def _one(case: Case, trial: Trial, chance: Random, place: Path) -> Outcome | str:
    """What became of a trial, or its fault as text."""
    begun = time.monotonic()
    # A hang in a library's own code cannot be broken off from here: then all ends, and says where.
    faulthandler.dump_traceback_later(case.LIMIT * 4, exit=True, file=_crash_log)
    try:
        outcome: Outcome | str = trial(chance, place)
    except Broken as fault:
        return str(fault)
    except Exception:  # noqa: BLE001 - whatever comes out of a trial is what the campaign looks for
        return f"an error that nobody foresaw:\n{traceback.format_exc()}"
    finally:
        faulthandler.cancel_dump_traceback_later()
    seconds = time.monotonic() - begun
    return f"{outcome}: {seconds:.1f} s, at most {case.LIMIT:g} s" if seconds > case.LIMIT else outcome


def hush(noise: Path) -> None:
    """From now on what libraries print goes to a file; `print` of the campaign goes on as before.

    Libraries hold sys.stderr or write to the descriptors; both lead to the file.
    """
    global _crash_log
    _crash_log = os.dup(1)
    ours = os.fdopen(_crash_log, "w", encoding="utf-8", errors="backslashreplace")
    descriptor = os.open(noise, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for each in (1, 2):
        os.dup2(descriptor, each)
    sys.stdout = ours
    sys.excepthook = lambda kind, error, trace: traceback.print_exception(kind, error, trace, file=ours)
