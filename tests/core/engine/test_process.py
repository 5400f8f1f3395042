"""The warm worker as a real process: reused, killed, interrupted, orphaned."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from modelpress.engine.process import WarmWorker
from modelpress.errors import HostError, WorkerDied
from modelpress.events import Event, Progress


@pytest.fixture
def warm(passes: str, tmp_path: Path) -> Iterator[WarmWorker]:
    path = os.pathsep.join([str(tmp_path / "source"), *(p for p in sys.path if p)])
    worker = WarmWorker([sys.executable], {**os.environ, "PYTHONPATH": path})
    yield worker
    worker.close()


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def test_one_process_serves_many_jobs(warm: WarmWorker, make_job) -> None:
    events: list[Event] = []
    folders = [make_job("write", number) for number in range(3)]
    for folder in folders:
        warm.run(folder, events.append)
    assert len({result(folder)["meta"]["extra"]["pid"] for folder in folders}) == 1
    assert events.count(Progress(2, 3, "steps")) == 3
    assert "a library prints this" in (folders[2] / "log.txt").read_text()


def test_a_killed_worker_reads_as_out_of_memory_and_the_next_job_runs(warm: WarmWorker, make_job) -> None:
    with pytest.raises(WorkerDied, match=r"killed.*memory") as caught:
        warm.run(make_job("killed"), print)
    assert caught.value.exit_code == 4
    assert "GiB" in caught.value.message
    folder = make_job("write")
    warm.run(folder, print)
    assert result(folder)["format"] == "text"


def test_a_crash_in_native_code_names_the_signal(warm: WarmWorker, make_job) -> None:
    with pytest.raises(WorkerDied, match="SIGSEGV"):
        warm.run(make_job("segfault"), print)


def test_a_python_without_modelpress_is_a_host_error(make_job) -> None:
    worker = WarmWorker([sys.executable, "-S", "-I"], {"PATH": os.environ["PATH"]})
    with pytest.raises(HostError, match="has no modelpress"):
        worker.run(make_job("write"), print)


def test_an_interrupt_ends_the_worker(warm: WarmWorker, make_job) -> None:
    folder = make_job("slow")
    seen = threading.Event()

    def on_event(event: Event) -> None:
        seen.set()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        warm.run(folder, on_event)
    assert seen.is_set()
    assert not psutil.pid_exists(int((folder / "checkpoint" / "pid").read_text()))


def test_the_worker_ends_when_the_run_is_killed(make_job, tmp_path: Path) -> None:
    folder = make_job("slow")
    path = os.pathsep.join([str(tmp_path / "source"), *(p for p in sys.path if p)])
    code = (
        "import sys; from pathlib import Path; from modelpress.engine.process import WarmWorker;"
        "WarmWorker([sys.executable]).run(Path(sys.argv[1]), lambda event: None)"
    )
    run = subprocess.Popen([sys.executable, "-c", code, str(folder)], env={**os.environ, "PYTHONPATH": path})
    pid_file = folder / "checkpoint" / "pid"
    wait_until(pid_file.exists)
    time.sleep(0.1)
    worker = int(pid_file.read_text())
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    wait_until(lambda: not psutil.pid_exists(worker))


def wait_until(condition, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
