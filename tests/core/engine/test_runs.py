"""Every run is remembered: its record and its log, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import modelpress
from modelpress.engine.past_runs import find_run, find_runs, forget_runs, status_of
from modelpress.engine.record import RunRecord
from modelpress.errors import PassError, UserError, WorkflowError
from modelpress.records import read_record

LINES = {"first": {"type": "Append", "text": " more"}, "second": {"type": "Upper"}}


def run(demo) -> modelpress.RunResult:
    return modelpress.run(demo.folder / "workflow.json", in_process=True)


def fail(demo) -> None:
    demo.write(passes={"first": LINES["first"], "second": {"type": "Append", "fail": True}})
    with pytest.raises(PassError):
        run(demo)


def runs(demo) -> list[RunRecord]:
    return find_runs(demo.folder / "cache" / "runs")


def test_a_run_is_remembered_in_the_cache_as_in_output_dir(demo) -> None:
    demo.write(workflow_id="shout")
    run(demo)
    (record,) = runs(demo)
    assert read_record(RunRecord, demo.folder / "output" / "run.json") == record
    assert (record.workflow_id, record.status, len(record.steps)) == ("shout", "finished", 2)
    assert record.seconds > 0
    assert record.error is None


def test_a_workflow_without_an_id_is_called_as_its_file(demo) -> None:
    run(demo)
    assert runs(demo)[0].workflow_id == "workflow"


def test_a_failed_run_is_remembered_with_what_was_done_and_why_it_failed(demo) -> None:
    fail(demo)
    (record,) = runs(demo)
    assert record == read_record(RunRecord, demo.folder / "output" / "run.json")
    assert record.status == "failed"
    assert record.error
    assert (record.error.type, record.error.message) == ("PassError", "It cannot be done.")
    assert [step.name for step in record.steps] == ["first"]


def test_a_failed_run_does_not_take_the_place_of_the_record_of_a_model_that_is_there(demo) -> None:
    run(demo)
    fail(demo)
    assert [record.status for record in runs(demo)] == ["failed", "finished"]
    written = read_record(RunRecord, demo.folder / "output" / "run.json")
    assert written.status == "finished"
    demo.write()
    run(demo)
    assert read_record(RunRecord, demo.folder / "output" / "run.json").id == runs(demo)[0].id


def test_a_run_that_never_began_is_not_remembered(demo) -> None:
    demo.write(passes={"first": {"type": "Apend"}})
    with pytest.raises(WorkflowError):
        run(demo)
    assert not (demo.folder / "cache").exists()


def test_the_log_holds_what_was_told_and_what_was_printed(demo) -> None:
    record = run(demo).run_record
    text = Path(record["log"]).read_text()
    assert "[1/2] Append first: started on local" in text
    assert "report: loss 0.25" in text
    assert "[2/2] Upper second: done in" in text


def start(demo) -> subprocess.Popen[str]:
    demo.write(passes={"first": LINES["first"], "slow": {"type": "Append", "pieces": 40, "seconds": 0.25}})
    run = demo.start()
    end = time.monotonic() + 60
    while "piece 1" not in demo.done:
        assert time.monotonic() < end
        time.sleep(0.02)
    return run


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_an_interrupted_run_is_remembered_as_that(demo) -> None:
    run = start(demo)
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=30)
    (record,) = runs(demo)
    assert record.status == "interrupted"
    assert [step.name for step in record.steps] == ["first"]
    assert json.loads((demo.folder / "output" / "run.json").read_text())["status"] == "interrupted"


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_a_killed_run_is_remembered_as_far_as_it_came(demo) -> None:
    run = start(demo)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    (record,) = runs(demo)
    assert (record.status, status_of(record)) == ("running", "killed")
    assert [step.name for step in record.steps] == ["first"]


def test_records_of_old_runs_go_and_that_of_one_under_way_stays(demo) -> None:
    run(demo)
    under_way = start(demo)
    folder = demo.folder / "cache" / "runs"
    try:
        for path in (*folder.rglob("*"), *folder.iterdir()):
            os.utime(path, (1, 1))
        assert forget_runs(folder, older_than_days=1) > 0
        assert [record.status for record in runs(demo)] == ["running"]
    finally:
        under_way.kill()
        under_way.wait()
    assert forget_runs(folder, older_than_days=1) > 0, "it was killed"
    assert runs(demo) == []


def test_records_that_are_not_old_stay(demo) -> None:
    run(demo)
    assert forget_runs(demo.folder / "cache" / "runs", older_than_days=1) == 0
    assert len(runs(demo)) == 1


def test_runs_are_found_by_the_beginning_of_their_id(demo) -> None:
    folder = demo.folder / "cache" / "runs"
    with pytest.raises(UserError, match="No run is remembered"):
        find_run(folder, None)
    run(demo)
    run(demo)
    last, first = find_runs(folder)
    assert find_run(folder, None) == last
    assert find_run(folder, first.id) == first
    with pytest.raises(UserError, match="There is no run 'nowhere'"):
        find_run(folder, "nowhere")
    with pytest.raises(UserError, match="2 runs begin with '2'"):
        find_run(folder, "2")
    (folder / first.id / "run.json").write_text("{")
    assert find_runs(folder) == [last]


def command(demo, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "modelpress", "runs", *arguments, "--cache-dir", str(demo.folder / "cache")],
        env=demo.environment, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return done.stdout


def test_runs_are_listed_and_shown(demo) -> None:
    demo.write(evaluators={"e": {"metrics": [{"type": "words"}]}}, evaluator="e")
    identity = run(demo).run_record["id"]
    fail(demo)
    listed = command(demo, "list").splitlines()
    assert listed[1].split()[2:3] == ["failed"]
    assert "It cannot be done." in listed[1]
    assert listed[2].split()[:3] == [identity, "workflow", "finished"]
    assert "words 3" in listed[2]
    shown = command(demo, "show", identity)
    assert "finished after" in shown
    assert "Append first" in shown
    assert "loss 0.25" in shown
    assert json.loads(command(demo, "show", identity, "--json"))["metrics"] == {"words": 3.0}
    assert [r["status"] for r in json.loads(command(demo, "list", "--json"))] == ["failed", "finished"]


def test_a_damaged_record_is_left_out_and_told(demo) -> None:
    """It is for people: shown as if it were whole, it would be believed."""
    demo.write()
    run(demo)
    (record,) = (demo.folder / "cache" / "runs").glob("*/run.json")
    record.write_bytes(record.read_bytes().replace(b"0.25", b"0.24"))
    done = subprocess.run(
        [sys.executable, "-m", "modelpress", "runs", "list", "--cache-dir", str(demo.folder / "cache")],
        env=demo.environment, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.startswith("0 runs")
    assert "run.json is damaged" in " ".join(done.stderr.split())


def test_the_record_of_another_run_is_none_of_this(demo) -> None:
    demo.write()
    run(demo)
    run(demo)
    first, second = sorted((demo.folder / "cache" / "runs").glob("*/run.json"))
    first.write_bytes(second.read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "modelpress", "runs", "list", "--cache-dir", str(demo.folder / "cache")],
        env=demo.environment, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1].startswith("1 run ")
    assert f"{first.parent.name}/run.json is damaged" in " ".join(done.stderr.split())
