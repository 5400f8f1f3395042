"""The script with which a user shows it on his own Azure, as far as it can be shown here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from azure_runs import outcome

if TYPE_CHECKING:
    from azure_emulator import Cloud

PROVE = Path(__file__).resolve().parents[2] / "examples" / "azureml" / "prove.py"


def prove(cloud: Cloud, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    names = {"subscription": cloud.subscription, "group": cloud.group, "workspace": cloud.workspace}
    named = [word for name, value in names.items() for word in (f"--{name}", value)]
    return subprocess.run(
        [sys.executable, str(PROVE), *named, *arguments],
        input=answer, capture_output=True, text=True, timeout=550, check=False,
    )  # fmt: skip


def test_it_tells_the_cost_and_shows_the_whole_way(cloud: Cloud) -> None:
    before = len(cloud.jobs.runs)
    done = prove(cloud, "--compute", cloud.compute, "--usd-per-hour", "4", "--register-as", "proof", "--yes")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "about 1.33 USD" in done.stdout
    assert "It works on your Azure" in done.stdout
    assert [outcome(run) for run in list(cloud.jobs.runs.values())[before:]] == ["Completed"]
    assert "models/proof/1" in cloud.arm.assets


def test_it_does_nothing_when_the_user_says_no(cloud: Cloud) -> None:
    requests = len(cloud.web.requests)
    done = prove(cloud, "--compute", cloud.compute, answer="n\n")
    assert done.returncode == 1
    assert len(cloud.web.requests) == requests


def test_it_ends_with_what_is_wrong(cloud: Cloud) -> None:
    done = prove(cloud, "--compute", "none", "--yes")
    assert done.returncode == 2
    assert "There is no compute target 'none'" in done.stdout + done.stderr
    assert "It does not work" in done.stdout
