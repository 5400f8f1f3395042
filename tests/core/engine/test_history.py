"""What tasks told is kept beside the cache's artifacts, over all tries, and told again from there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import modelpress
from modelpress.engine.history import close_history, keep_events, told_before
from modelpress.engine.job import Result
from modelpress.errors import PassError
from modelpress.events import Event, EventFile, Log, Progress, Report, StepFinished


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def tell(folder: Path, *events: Event) -> None:
    file = EventFile(folder / "events.jsonl")
    for event in events:
        file(event)
    file.close()


def test_reports_and_notes_are_kept_with_when_and_how_far(tmp_path: Path) -> None:
    tell(tmp_path, Progress(3, 9, "steps"), Report("loss", 0.5), Log("note", "read this"))
    close_history(tmp_path, Result(seconds=2.5, peak_memory=7), tmp_path / "cache" / "k.jsonl")
    report, note, last = lines(tmp_path / "cache" / "k.jsonl")
    assert {k: report[k] for k in ("kind", "name", "value", "done", "total", "unit")} == {
        "kind": "report", "name": "loss", "value": 0.5, "done": 3, "total": 9, "unit": "steps",
    }  # fmt: skip
    assert report["time"] > 1e9
    assert (note["kind"], note["message"]) == ("log", "read this")
    assert (last["kind"], last["seconds"], last["peak_memory"]) == ("finished", 2.5, 7)
    assert not (tmp_path / "events.jsonl").exists()


def test_what_an_interrupted_try_told_is_kept_too(tmp_path: Path) -> None:
    tell(tmp_path, Report("loss", 0.9))
    keep_events(tmp_path)
    tell(tmp_path, Report("loss", 0.5))
    close_history(tmp_path, Result(), tmp_path / "k.jsonl")
    assert [line.get("value") for line in lines(tmp_path / "k.jsonl")] == [0.9, 0.5, None]


def test_a_damaged_line_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('{"kind": "rep\n{"kind": "report", "name": "a", "value": 1}\n')
    close_history(tmp_path, Result(), tmp_path / "k.jsonl")
    assert len(lines(tmp_path / "k.jsonl")) == 2


def test_the_last_of_each_report_and_all_notes_are_told_again(tmp_path: Path) -> None:
    tell(tmp_path, Report("loss", 0.9), Log("debug", "x"), Log("warning", "careful"), Report("loss", 0.5))
    close_history(tmp_path, Result(), tmp_path / "k.jsonl")
    assert list(told_before(tmp_path / "k.jsonl")) == [Log("warning", "careful"), Report("loss", 0.5)]
    assert list(told_before(tmp_path / "nowhere.jsonl")) == []


def run(demo) -> tuple[modelpress.RunResult, list[Event]]:
    events: list[Event] = []
    result = modelpress.run(demo.folder / "workflow.json", in_process=True, on_event=events.append)
    return result, events


def test_a_run_from_the_cache_reports_what_the_first_one_did(demo) -> None:
    first, _ = run(demo)
    second, events = run(demo)
    assert Report("loss", 0.25) in events
    assert [event.summary for event in events if isinstance(event, StepFinished)] == ["loss 0.25", ""]
    told = ("reports", "notes", "seconds", "peak_memory", "size")
    for before, after in zip(first.run_record["steps"], second.run_record["steps"], strict=True):
        assert (before["cached"], after["cached"]) == (False, True)
        assert {k: before[k] for k in told} == {k: after[k] for k in told}
    assert first.run_record["steps"][0]["peak_memory"] > 0


def test_the_history_is_no_part_of_the_artifact(demo) -> None:
    result, _ = run(demo)
    key = result.run_record["steps"][0]["key"]
    cache = demo.folder / "cache"
    assert (cache / "history" / f"{key}.jsonl").exists()
    assert not list((cache / "artifacts").rglob("*.jsonl"))
    assert not list((demo.folder / "output").rglob("*.jsonl"))


def test_a_failed_try_is_in_the_history_of_the_one_that_ends_well(demo) -> None:
    demo.write(passes={"first": {"type": "Append", "pieces": 1, "fail": True}})
    with pytest.raises(PassError):
        run(demo)
    (folder,) = (demo.folder / "cache" / "jobs").iterdir()
    assert (folder / "error.json").exists()


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


@pytest.mark.parametrize("moment", ["keep_events", "move", "mark_finished"])
def test_a_run_killed_after_its_result_was_kept_leaves_nothing(
    demo, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(f"modelpress.engine.history.{moment}", die)
        with pytest.raises(Killed):
            run(demo)
    cache = demo.folder / "cache"
    (job,) = (cache / "jobs").iterdir()
    (cache / "history").mkdir(exist_ok=True)
    (cache / "history" / f".{job.name}.jsonl.0000.part").touch()
    result, events = run(demo)
    assert result.run_record["steps"][0]["cached"]
    assert Report("loss", 0.25) in events
    assert not any((cache / "jobs").iterdir())
    assert not list(cache.rglob("*.part"))
