"""`modelpress jobs` and `run --detach`: looking after work that goes on without the run that began it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import psutil
import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")


def jobs(demo, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*demo.command("jobs", *arguments), "--cache-dir", str(demo.folder / "cache")],
        env=demo.environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.fixture
def left(far):
    """A job that goes on far away; its run was killed."""
    far.write(passes={"a": {"type": "Append", "text": "!", "pieces": 40, "seconds": 0.1}})
    run = far.demo.start()
    wait_until(lambda: far.demo.done.count("piece 2") == 1)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    return far


def test_a_job_is_listed_and_watched_to_its_end(left) -> None:
    listed = json.loads(jobs(left.demo, "list", "--json").stdout)
    assert [(job["name"], job["place"]["name"], job["state"]) for job in listed] == [
        ("a", "far", "nobody watches")
    ]
    told = jobs(left.demo, "list").stdout
    assert "far (Far)" in told
    assert "nobody watches" in told
    watched = jobs(left.demo, "attach", listed[0]["id"][:6])
    assert watched.returncode == 0, watched.stderr
    assert "a is done. Its result is taken by: modelpress run" in watched.stdout
    assert jobs(left.demo, "list").stdout.count("done") == 1
    fetched = jobs(left.demo, "fetch", listed[0]["id"], "--to", str(left.demo.folder / "got"))
    assert fetched.returncode == 0, fetched.stderr
    assert (left.demo.folder / "got" / "out" / "text.txt").exists()
    assert left.demo.run().returncode == 0
    assert left.count("start") == 1


def test_a_job_is_ended_and_its_checkpoint_kept(left) -> None:
    ended = jobs(left.demo, "cancel", "--all")
    assert ended.returncode == 0, ended.stderr
    assert "is ended" in ended.stdout
    assert not left.working
    assert "0 jobs" in jobs(left.demo, "list").stdout
    assert left.demo.run().returncode == 0
    assert left.demo.done.count("piece 0") == 1


def test_an_unknown_job_is_told_with_those_that_there_are(left) -> None:
    told = jobs(left.demo, "attach", "nothing")
    assert told.returncode == 2
    assert "There is no job 'nothing' under way." in told.stderr


def test_a_detached_run_goes_on_without_its_terminal(demo) -> None:
    demo.write(passes={"a": {"type": "Append", "text": "!", "pieces": 40, "seconds": 0.1}})
    begun = demo.run("--detach")
    assert begun.returncode == 0, begun.stderr
    assert "goes on in the background" in begun.stdout
    process = int(begun.stdout.partition("process ")[2].partition(")")[0])
    assert os.getsid(process) != os.getsid(0)
    wait_until(lambda: not psutil.pid_exists(process) or psutil.Process(process).status() == "zombie")
    assert demo.text.startswith("one two!")
    (record,) = (demo.folder / "cache" / "runs").glob("*/run.json")
    assert json.loads(record.read_text())["status"] == "finished"


def test_a_detached_run_tells_what_was_asked_of_it_in_the_form_asked_for(demo) -> None:
    demo.write(passes={"a": {"type": "Append", "text": "!", "pieces": 20, "seconds": 0.1}})
    begun = demo.run("--detach", "--json", "-v", "--log-level", "debug")
    assert begun.returncode == 0, begun.stderr
    said = json.loads(begun.stdout)
    command = " ".join(psutil.Process(said["process"]).cmdline())
    assert "--verbose --log-level debug" in command
    record = demo.folder / "cache" / "runs" / said["id"] / "run.json"
    wait_until(lambda: json.loads(record.read_text())["status"] == "finished")
    assert os.path.exists(said["log"])


def test_what_is_wrong_with_a_detached_run_is_told_at_once(demo) -> None:
    demo.write(passes={"a": {"type": "Apend"}})
    begun = demo.run("--detach")
    assert begun.returncode == 2
    assert "Did you mean 'Append'" in begun.stderr


def test_a_job_of_this_machine_is_ended_from_another_process(demo) -> None:
    demo.write(passes={"a": {"type": "Append", "text": "!", "pieces": 600, "seconds": 0.1}})
    run = demo.start()
    wait_until(lambda: demo.done.count("piece 2") == 1)
    assert "a run watches" in jobs(demo, "list").stdout
    assert jobs(demo, "cancel", "--all").returncode == 0
    assert run.wait(30) == 4


def wait_until(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
