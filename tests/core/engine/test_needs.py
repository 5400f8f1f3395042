"""What a step takes: as the user writes it, or as its plan estimates, for whoever runs it."""

from __future__ import annotations

import json

import pytest

from modelpress.engine.job import read_job
from modelpress.errors import UserError
from modelpress.sizes import parse_time


def test_needs_reach_the_job(far) -> None:
    needs = {"memory": "2GB", "disk": "5GiB", "gpus": 1, "time": "2h"}
    far.write(passes={"a": {"type": "Append", "text": "!", "needs": needs}})
    assert far.demo.run().returncode == 0
    (job,) = map(read_job, far.place.glob("jobs/*"))
    assert (job.needs.memory, job.needs.disk, job.needs.gpus, job.needs.time) == (
        2 * 10**9,
        5 * 2**30,
        1,
        7200,
    )
    assert "pydantic>=2.11" in job.requires


def test_what_is_not_said_is_as_the_plan_estimates_it(far) -> None:
    far.write(passes={"a": {"type": "Fill"}})
    far.demo.run("--set", "passes.a.text=nothing")
    (job,) = map(read_job, far.place.glob("jobs/*"))
    assert job.needs.disk == 12_345


@pytest.mark.parametrize("value", ["soon", "-3", "0"])
def test_a_time_that_is_none_is_told(demo, value: str) -> None:
    with pytest.raises(UserError, match="is no time"):
        parse_time(value)
    demo.write(passes={"a": {"type": "Append", "needs": {"time": value}}})
    done = demo.run()
    assert done.returncode == 2
    assert "workflow.json:" in done.stderr
    assert "has to be a time" in done.stderr


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5 h", 5400), ("2d", 172800), (30, 30)]
)
def test_times_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


def test_a_step_elsewhere_is_not_checked_against_this_machine(far, demo) -> None:
    huge = {"a": {"type": "Append", "text": "!", "needs": {"memory": "900TB", "disk": "900TB"}}}
    demo.write(passes=huge)
    assert "of memory" in demo.run().stdout
    far.write(passes=huge)
    done = far.demo.run()
    assert done.returncode == 0, done.stderr
    assert "of memory" not in done.stdout
    assert json.loads((far.demo.folder / "output" / "run.json").read_text())["status"] == "finished"
