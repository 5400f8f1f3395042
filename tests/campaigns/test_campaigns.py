"""The campaigns find nothing on a fixed seed, and find what is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

ROOT = Path(__file__).resolve().parents[2]
CASES = ("belongings", "disks", "flips", "malformed", "together", "workflows")
"""Those of which a few trials are quick enough, and steady on a busy machine."""
LONGER = ("cluster", "hostile", "kills", "searches")


def campaign(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "campaigns" / "run.py"), *arguments],
        env={**os.environ, **variables}, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", CASES)
def test_a_few_trials_on_a_fixed_seed_find_nothing(case: str) -> None:
    done = campaign(case, "--quick", "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 faults, " in done.stdout


def test_every_case_is_known_here() -> None:
    modules = {path.stem for path in (ROOT / "campaigns" / "cases").glob("*.py")} - {"__init__"}
    assert modules == {*CASES, *LONGER}


def test_an_unknown_case_is_told() -> None:
    done = campaign("flops", "--quick")
    assert done.returncode == 2
    assert "there is no case 'flops'; there are: " in done.stderr


@pytest.fixture
def frame(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "campaigns"))
    import trials

    yield trials
    sys.modules.pop("trials")


class Dice:
    """A case that finds a fault where the die shows six."""

    NAME, TITLE, ABOUT, COUNT, FEW, LIMIT = "dice", "Dice", "Dice are thrown.", 20, 2, 5.0

    def __init__(self, frame) -> None:
        self.frame = frame

    def begin(self, folder: Path):
        def throw(chance: Random, place: Path):
            shown = chance.randint(1, 6)
            if shown == 6:
                raise self.frame.Broken("a six")
            return self.frame.Outcome("throw", str(shown))

        return throw


def test_a_trial_can_be_done_again_by_itself(frame, tmp_path: Path, capsys) -> None:
    case = Dice(frame)
    whole = frame.run_case(case, 3, range(20), tmp_path / "whole", 1)
    assert whole.count == 20
    assert set(whole.faults) == {"a six"}
    told = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "FAULT" in line]
    number = int(told[0].partition(":")[2])
    alone = frame.run_case(case, 3, range(number, number + 1), tmp_path / "alone", 1)
    assert alone.faults == ["a six"]
    assert f"SEED=3 CASES=dice:{number} make campaign" in capsys.readouterr().out
