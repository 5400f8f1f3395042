"""Whole runs over text files: keys, the cache, failures, kills, two at once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

import modelpress
from modelpress.artifact import MANIFEST
from modelpress.engine import cache_cleaning as cleaning
from modelpress.engine.cache import Cache
from modelpress.errors import PassError, WorkflowError
from modelpress.events import Event, Log, StepFinished


def cached(demo) -> list[bool]:
    """Which steps the next run takes from the cache."""
    events: list[Event] = []
    modelpress.run(demo.folder / "workflow.json", on_event=events.append)
    return [event.cached for event in events if isinstance(event, StepFinished)]


def test_a_run_gives_the_model_the_numbers_and_the_record(demo) -> None:
    demo.write(evaluators={"e": {"metrics": [{"name": "w", "type": "words"}]}}, evaluator="e")
    result = modelpress.run(demo.folder / "workflow.json")
    assert demo.text == "ONE TWO MORE"
    assert result.artifact.path == demo.folder / "output" / "model"
    assert result.artifact.format == "upper"
    assert result.metrics == {"words": 3.0}
    record = json.loads((demo.folder / "output" / "run.json").read_text())
    assert record.pop("seal")
    assert record == result.run_record
    assert [step["type"] for step in record["steps"]] == ["Append", "Upper", "words"]
    assert record["steps"][0]["reports"] == {"loss": 0.25}
    assert record["steps"][0]["peak_memory"] > 1e6


def test_a_second_run_does_nothing(demo) -> None:
    assert cached(demo) == [False, False]
    done = demo.done
    assert cached(demo) == [True, True]
    assert demo.done == done


def test_in_process_gives_the_same(demo) -> None:
    modelpress.run(demo.folder / "workflow.json", in_process=True)
    assert demo.text == "ONE TWO MORE"
    assert cached(demo) == [True, True]


def test_what_a_user_calls_things_does_not_change_keys(demo) -> None:
    cached(demo)
    demo.write(passes={"a": {"type": "Append", "text": " more"}, "b": {"type": "Upper"}})
    assert cached(demo) == [True, True]


def test_an_option_changes_the_key_of_its_step_and_of_those_after_it(demo) -> None:
    cached(demo)
    demo.write(passes={"first": {"type": "Append", "text": " less"}, "second": {"type": "Upper"}})
    assert cached(demo) == [False, False]
    assert demo.text == "ONE TWO LESS"


def test_moving_everything_changes_nothing(demo, tmp_path: Path) -> None:
    lines = demo.folder / "lines.txt"
    lines.write_text("a\nb\n")
    demo.write(
        data_configs=[{"name": "d", "type": "Lines", "file": "lines.txt"}],
        passes={"first": {"type": "Append", "train_data_config": "d", "file": "lines.txt"}},
    )
    assert cached(demo) == [False]
    demo.folder = shutil.move(demo.folder, tmp_path / "elsewhere")
    assert cached(demo) == [True]


@pytest.mark.parametrize("what", ["data", "file", "model", "seed"])
def test_new_content_changes_the_key(demo, what: str) -> None:
    lines, file = demo.folder / "lines.txt", demo.folder / "file.txt"
    lines.write_text("a\nb\n")
    file.write_text("c")
    fields = {
        "data_configs": [{"name": "d", "type": "Lines", "file": "lines.txt"}],
        "passes": {"first": {"type": "Append", "train_data_config": "d", "file": "file.txt"}},
    }
    demo.write(**fields)
    assert cached(demo) == [False]
    if what == "data":
        lines.write_text("a\nB\n")
    elif what == "file":
        file.write_text("C")
    elif what == "model":
        (demo.folder / "model" / "text.txt").write_text("one TWO")
    else:
        demo.write(**fields, seed=1)
    assert cached(demo) == [False]


def test_a_new_pass_version_changes_the_key(demo, monkeypatch: pytest.MonkeyPatch) -> None:
    cached(demo)
    monkeypatch.setenv("DEMO_VERSION", "2")
    assert cached(demo) == [False, False]


def test_a_new_distribution_version_changes_the_key(demo) -> None:
    cached(demo)
    metadata = demo.site / "demo_plugin-1.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.0", "Version: 1.1"))
    assert cached(demo) == [False, False]


def test_a_new_library_version_changes_the_key(demo) -> None:
    info = demo.site / "demo_library-1.0.dist-info"
    info.mkdir()
    for version in ("1.0", "1.1"):
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: demo-library\nVersion: {version}\n")
        demo.write(passes={"first": {"type": "Library"}})
        assert cached(demo) == [False]
        assert cached(demo) == [True]


def test_a_missing_library_is_told_before_any_work_with_exit_code_3(demo) -> None:
    demo.write(passes={"first": {"type": "Append"}, "second": {"type": "Library"}})
    done = demo.run()
    assert done.returncode == 3
    assert "demo-library" in done.stderr
    assert 'pip install "demo-plugin[cpu]"' in done.stderr
    assert demo.done == []


def test_a_damaged_result_is_made_again(demo) -> None:
    cached(demo)
    for path in (demo.folder / "cache" / "artifacts").glob("*/text.txt"):
        os.truncate(path, 2)
    events: list[Event] = []
    modelpress.run(demo.folder / "workflow.json", on_event=events.append)
    assert sum(isinstance(e, Log) and "damaged" in e.message for e in events) == 2
    assert demo.text == "ONE TWO MORE"


def test_a_damaged_export_is_made_again(demo) -> None:
    cached(demo)
    os.truncate(demo.folder / "output" / "model" / "text.txt", 2)
    assert cached(demo) == [True, True]
    assert demo.text == "ONE TWO MORE"


def test_a_failing_pass_is_not_cached_and_its_folder_is_named(demo) -> None:
    demo.write(passes={"first": {"type": "Append", "fail": True}})
    for _ in range(2):
        with pytest.raises(PassError, match="cannot be done") as caught:
            modelpress.run(demo.folder / "workflow.json")
        folder = Path(caught.value.hint.rpartition(": ")[2])
        assert (folder / "error.json").exists()
    assert demo.done == ["append "] * 2
    assert [path.name for path in (demo.folder / "output").iterdir()] == ["run.json"]


def test_all_problems_are_told_at_once_and_nothing_is_written(demo) -> None:
    (demo.folder / "lines.txt").write_text("")
    demo.write(
        data_configs=[{"name": "d", "type": "Lines", "file": "lines.txt"}],
        passes={
            "a": {"type": "Upper"},
            "b": {"type": "Append", "file": "lines.txd", "train_data_config": "d"},
            "c": {"type": "Apend"},
        },
    )
    with pytest.raises(WorkflowError) as caught:
        modelpress.run(demo.folder / "workflow.json")
    text = caught.value.message
    assert "Step 2 (Append) takes text, but step 1 (Upper) gives upper." in text
    assert "lines.txt" in text
    assert "'Append'" in text
    assert "The file is empty" in text
    assert not (demo.folder / "cache").exists()


def test_a_foreign_output_folder_is_not_overwritten(demo) -> None:
    theirs = demo.folder / "output" / "model"
    theirs.mkdir(parents=True)
    (theirs / "thesis.txt").write_text("years of work")
    with pytest.raises(WorkflowError, match="did not write"):
        modelpress.run(demo.folder / "workflow.json")
    assert (theirs / "thesis.txt").exists()


def test_not_enough_disk_is_told_before_any_work(demo, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(demo.folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=3))
    with pytest.raises(WorkflowError, match="free"):
        modelpress.run(demo.folder / "workflow.json")
    assert demo.done == []


def slow(demo) -> None:
    demo.write(
        passes={
            "first": {"type": "Append", "text": " more"},
            "second": {"type": "Append", "pieces": 8, "seconds": 0.15},
            "third": {"type": "Upper"},
        }
    )


def wait_for(condition, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
@pytest.mark.parametrize("moment", ["piece 0", "piece 3", "piece 7"])
def test_a_killed_run_goes_on_where_it_was(demo, moment: str) -> None:
    slow(demo)
    run = demo.start()
    wait_for(lambda: moment in demo.done)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    before = demo.done
    done = demo.run()
    assert done.returncode == 0, done.stderr
    assert demo.text == "ONE TWO MORE" + "".join(f"<{n}>" for n in range(8))
    after = demo.done[len(before) :]
    assert "append  more" not in after
    assert [line for line in after if line.startswith("piece")] == [
        f"piece {n}" for n in range(int(moment[-1]), 8)
    ]


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_a_run_killed_in_a_commit_finishes_later(demo) -> None:
    code = (
        "import os, signal, sys\nfrom modelpress.engine import cache\n"
        "cache.os.replace = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
        "import modelpress\nmodelpress.run(sys.argv[1])"
    )
    import subprocess
    import sys

    command = [sys.executable, "-c", code, str(demo.folder / "workflow.json")]
    killed = subprocess.run(command, env=demo.environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not list((demo.folder / "cache").glob("artifacts/*"))
    assert demo.run().returncode == 0
    assert demo.text == "ONE TWO MORE"


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_ctrl_c_ends_the_worker_and_says_how_to_go_on(demo) -> None:
    slow(demo)
    run = demo.start()
    wait_for(lambda: "piece 2" in demo.done)
    children = psutil.Process(run.pid).children(recursive=True)
    assert children
    run.send_signal(signal.SIGINT)
    text, _ = run.communicate(timeout=20)
    assert run.returncode == 130, text
    assert "same command again" in text
    assert "Traceback" not in text
    assert not psutil.wait_procs(children, timeout=5)[1]
    assert demo.run().returncode == 0


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
@pytest.mark.parametrize("pause", [0.005, 0.1])
def test_a_second_ctrl_c_and_a_tenth_change_nothing(demo, pause: float) -> None:
    slow(demo)
    run = demo.start()
    wait_for(lambda: "piece 2" in demo.done)
    children = psutil.Process(run.pid).children(recursive=True)
    for number in range(10):
        if run.poll() is None:
            run.send_signal((signal.SIGINT, signal.SIGTERM)[number % 2])
            time.sleep(pause)
    text, _ = run.communicate(timeout=20)
    assert run.returncode == 130, text
    assert "Traceback" not in text
    assert not psutil.wait_procs(children, timeout=5)[1]


def test_two_runs_at_once_share_the_work(demo) -> None:
    slow(demo)
    first, second = demo.start(), demo.start("--output-dir", str(demo.folder / "other"))
    for run in (first, second):
        text, _ = run.communicate(timeout=60)
        assert run.returncode == 0, text
    assert sorted(set(demo.done)) == sorted(demo.done)
    assert demo.text == (demo.folder / "other" / "model" / "text.txt").read_text()
    assert (demo.folder / "other" / "model" / MANIFEST).exists()


def test_a_step_at_work_keeps_its_input_from_gc_and_clear(demo) -> None:
    """The input of the second step is the cached result of the first; others clean up meanwhile."""
    demo.write(passes={"first": {"type": "Append", "text": " more"},
                       "second": {"type": "Append", "pieces": 8, "seconds": 0.2}})  # fmt: skip
    run = demo.start()
    wait_for(lambda: "piece 1" in demo.done)
    cache = Cache(demo.folder / "cache")
    cleaning.collect(cache, older_than_days=0)
    cleaning.collect(cache, keep_bytes=0)
    cleaning.clear(cache)
    assert len(list((demo.folder / "cache" / "artifacts").iterdir())) == 1
    assert run.wait(60) == 0
    assert demo.text.startswith("one two more<0>")


def test_without_passes_the_model_is_measured_and_not_copied(demo) -> None:
    demo.write(passes=None, evaluators={"e": {"metrics": [{"name": "w", "type": "words"}]}}, evaluator="e")
    result = modelpress.run(demo.folder / "workflow.json")
    assert result.metrics == {"words": 2.0}
    assert os.listdir(demo.folder / "output") == ["run.json"]
    assert result.artifact.path == demo.folder / "model"


def test_a_measurement_does_not_replace_the_record_of_a_model(demo) -> None:
    modelpress.run(demo.folder / "workflow.json")
    before = (demo.folder / "output" / "run.json").read_bytes()
    demo.write(passes=None, evaluators={"e": {"metrics": [{"name": "w", "type": "words"}]}}, evaluator="e")
    modelpress.run(demo.folder / "workflow.json")
    assert (demo.folder / "output" / "run.json").read_bytes() == before
