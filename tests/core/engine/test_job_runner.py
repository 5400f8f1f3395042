"""What became of a job when the run that waited for it was killed: picked up, or begun anew, never twice."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

import modelpress
from modelpress.engine.cache import Cache
from modelpress.engine.job_runner import JobRunner
from modelpress.engine.submitted import SubmittedJobs


class Killed(BaseException):
    """The run's end, at a moment of the test's choice."""


def killed(*arguments: object, **named: object) -> None:
    raise Killed


def run(demo) -> None:
    modelpress.run(demo.folder / "workflow.json")


def test_a_job_that_was_finished_when_the_run_was_killed_is_picked_up(demo, monkeypatch) -> None:
    demo.write(passes={"a": {"type": "Append", "text": "x"}})
    with monkeypatch.context() as patch:
        patch.setattr(Cache, "commit", killed)
        with pytest.raises(Killed):
            run(demo)
    run(demo)
    assert demo.done == ["append x"]
    assert demo.text.endswith("x")
    assert not list((demo.folder / "cache" / "handles").iterdir())


def test_a_machine_that_was_started_anew_is_not_trusted_to_have_written_it_all(demo, monkeypatch) -> None:
    demo.write(passes={"a": {"type": "Append", "text": "x"}})
    with monkeypatch.context() as patch:
        patch.setattr(Cache, "commit", killed)
        with pytest.raises(Killed):
            run(demo)
    boot = psutil.boot_time()
    monkeypatch.setattr(psutil, "boot_time", lambda: boot + 60)
    run(demo)
    assert demo.done == ["append x", "append x"]


def test_the_handle_is_on_disk_before_anything_waits(demo, monkeypatch) -> None:
    demo.write(passes={"a": {"type": "Append", "text": "x"}})
    with monkeypatch.context() as patch:
        patch.setattr(JobRunner, "_wait", killed)
        with pytest.raises(Killed):
            run(demo)
    (job,) = SubmittedJobs(demo.folder / "cache").all()
    assert job.name == "a"
    assert job.place.type == "LocalSystem"
    assert job.handle is not None
    assert Path(str(job.handle["folder"])).name == job.key
