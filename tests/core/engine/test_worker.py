"""The worker: what it answers to passes that behave and to passes that do not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from modelpress import worker
from modelpress.engine.job import FormatCode
from modelpress.events import Log, Progress, Report, decode_event
from modelpress.fence import Origin

TEXT = Origin("format", "text", "demo", "demo-passes", "1.5")
METRIC = Origin("metric", "Count", "demo", "demo-passes", "1.5")


def answer(folder: Path) -> dict:
    worker.work(folder)
    (name,) = [n for n in ("result.json", "error.json") if (folder / n).exists()]
    return {"file": name, **json.loads((folder / name).read_text())}


def test_a_pass_writes_its_artifact_and_its_events(make_job) -> None:
    folder = make_job("write", options={"text": "new "})
    result = answer(folder)
    assert result["file"] == "result.json"
    assert result["format"] == "text"
    assert result["reports"] == {"loss": 0.5}
    assert (folder / "out" / "file.txt").read_text() == "new one two three"
    events = [decode_event(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    # No progress is held back past a number: the second step is the one that has this loss.
    assert events[:3] == [Progress(1, 3, "steps"), Progress(2, 3, "steps"), Report("loss", 0.5)]
    assert Log("note", "read this") in events
    assert not (folder / "scratch").exists()


def test_an_input_path_reaches_the_pass_as_a_path(make_job, tmp_path: Path) -> None:
    data = tmp_path / "data.json"
    data.write_text("content")
    folder = make_job("write", options={"path": {"$input": "data"}}, inputs={"data": data})
    assert answer(folder)["file"] == "result.json"
    assert (folder / "out" / "data.txt").read_text() == "content"


@pytest.mark.parametrize(
    ("function", "type_name", "text"),
    [
        ("user_error", "UserError", "column 'tone'"),
        ("crash", "PluginError", "it raised ZeroDivisionError: division by zero (demo_passes.py, line"),
        ("exit_early", "PluginError", "it called sys.exit(3)"),
        ("out_of_memory", "PassError", "ran out of memory"),
        ("wrong_format", "PluginError", "it promises 'text' but returned 'other'"),
        ("nothing", "PluginError", "it returned None, expected an Artifact"),
        ("disk_full", "DiskFull", "disk is full"),
        ("absent", "PluginError", "has no attribute 'absent'"),
    ],
)
def test_a_failing_pass_becomes_an_answer(make_job, function: str, type_name: str, text: str) -> None:
    result = answer(make_job(function))
    assert result["file"] == "error.json"
    assert result["type"] == type_name
    assert text in result["message"]
    if type_name == "PluginError":
        assert f"demo_passes:{function}" in result["message"]
        assert "the plugin demo of demo-passes 1.5" in result["message"]


def test_a_missing_library_is_told_with_what_to_install(make_job) -> None:
    folder = make_job("write", run="not_there.run:x")
    result = answer(folder)
    assert result["type"] == "MissingDependencyError"
    assert "needs 'not_there' of the plugin demo of demo-passes 1.5, which is not" in result["message"]
    assert result["hint"] == "pip install demo"


def test_a_broken_output_is_not_accepted(make_job, passes: str) -> None:
    formats = {"text": FormatCode(TEXT, f"{passes}:check", "")}
    result = answer(make_job("empty", formats=formats))
    assert result["type"] == "PluginError"
    assert "left a broken text: no file.txt" in result["message"]


def test_the_last_output_is_loaded_once(make_job, passes: str) -> None:
    formats = {"text": FormatCode(TEXT, f"{passes}:check", f"{passes}:load")}
    folder = make_job("write", formats=formats, load_once=True)
    assert answer(folder)["file"] == "result.json"
    assert (folder / "loaded").exists()


def test_a_metric_gives_numbers(make_job) -> None:
    result = answer(make_job("count", origin=METRIC))
    assert result["metrics"] == {"words": 3.0}


def test_the_worker_runs_as_a_command(make_job, tmp_path: Path) -> None:
    folder = make_job("write")
    path = ":".join([str(tmp_path / "source"), *(p for p in sys.path if p)])
    done = subprocess.run(
        [sys.executable, "-m", "modelpress.worker", str(folder)], env={"PYTHONPATH": path}, check=False
    )
    assert done.returncode == 0
    assert (folder / "result.json").exists()


def test_the_worker_imports_no_heavy_library(make_job, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from modelpress import worker; worker.work(Path(sys.argv[1]));"
        "print([m for m in ('torch', 'numpy', 'transformers', 'rich', 'click') if m in sys.modules])"
    )
    path = ":".join([str(tmp_path / "source"), *(p for p in sys.path if p)])
    done = subprocess.run(
        [sys.executable, "-c", code, str(make_job("write"))],
        env={"PYTHONPATH": path}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]"
