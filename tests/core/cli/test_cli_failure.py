"""Errors as users meet them: the text, the exit code, and no traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from modelpress.cli.failure import report_failure
from modelpress.errors import (
    HostError,
    Interrupted,
    Location,
    MissingDependencyError,
    PassError,
    Problem,
    UserError,
    WorkflowError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("found this", "do that"), 2),
        (MissingDependencyError("found this", "do that"), 3),
        (PassError("found this", "do that"), 4),
        (HostError("found this", "do that"), 5),
        (Interrupted("found this", "do that"), 130),
    ],
)
def test_an_error_is_told_with_its_hint_and_its_code(error: Exception, code: int, capsys) -> None:
    assert report_failure(error) == code
    assert capsys.readouterr().err == "error: found this\nhint: do that\n"


def test_all_problems_are_told_each_with_file_and_line(capsys) -> None:
    problems = [
        Problem("no such option 'rr'", "Did you mean 'r'?", Location("/there/w.yaml", 12), "lora"),
        Problem("nothing to do"),
    ]
    assert report_failure(WorkflowError(problems)) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: 2 problems found.")
    assert "\n/there/w.yaml:12: lora: no such option 'rr'\n    Did you mean 'r'?\n" in told


def test_one_problem_reads_like_any_error(capsys) -> None:
    report_failure(WorkflowError([Problem("it is wrong", "do that", Location("/there/w.yaml", 3))]))
    assert capsys.readouterr().err == "error: /there/w.yaml:3: it is wrong\nhint: do that\n"


def test_paths_in_this_folder_are_told_short(capsys, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    report_failure(WorkflowError([Problem("it is wrong", where=Location(str(tmp_path / "w.yaml"), 3))]))
    assert capsys.readouterr().err == "error: w.yaml:3: it is wrong\n"


def test_only_missing_libraries_give_the_code_of_a_missing_library(capsys) -> None:
    assert report_failure(WorkflowError([Problem("torch is absent", kind="dependency")])) == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interrupt_gives_130(error: BaseException, capsys) -> None:
    assert report_failure(error) == 130


def test_a_bug_is_told_short_and_its_traceback_kept(capsys) -> None:
    with pytest.raises(KeyError) as caught:
        {}["missing"]
    assert report_failure(caught.value) == 1
    told = capsys.readouterr().err
    assert "This is a bug: KeyError: 'missing'" in told
    assert "Traceback" not in told
    file = Path(re.search(r"which is in (\S+)", told)[1])
    assert "Traceback" in file.read_text(encoding="utf-8")
    file.unlink()


def test_debug_shows_the_traceback_and_keeps_the_code(command) -> None:
    done = command("--debug", "validate", "missing.yaml")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "error: There is no file missing.yaml" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("rnu",), "Did you mean 'run'?"),
        (("passes", "show", "LoRAA"), "'LoRA'"),
        (("run",), "modelpress run FILE"),
        (("run", "w.yaml", "--outputdir", "x"), "--output-dir"),
        (("cache", "gc", "--keep", "much"), "20GB"),
        (("data", "preview", "w.yaml", "train"), "There is no file w.yaml"),
        (("ask", "nowhere", "phrase"), "There is no file or folder nowhere"),
        (("ask", "nowhere", ""), "The phrase is empty"),
        (("ask", "nowhere", "x", "--raw", "--chat"), "exclude each other"),
        (("quantize", "m", "-o", "x", "--algorithm", "hqqq"), "'hqq'"),
    ],
)
def test_a_wrong_command_gives_2_and_says_what_is_right(command, arguments, told: str) -> None:
    done = command(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout


def test_problems_of_a_file_are_all_told_and_nothing_is_written(command, tmp_path: Path) -> None:
    workflow = {
        "input_model": {"type": "HfModel", "model_path": "./nowhere"},
        "passes": {"lora": {"type": "LoRA", "rr": 8}, "build": {"type": "ModelBuildr"}},
        "output_dir": "out",
    }
    (tmp_path / "w.json").write_text(json.dumps(workflow, indent=1))
    for name in ("run", "plan", "validate"):
        done = command(name, "w.json")
        assert done.returncode == 2
        assert re.search(r"^w\.json:\d+: ", done.stderr, flags=re.MULTILINE)
        assert "ModelBuilder" in done.stderr
        assert "'rr'" in done.stderr
    assert not (tmp_path / "out").exists()


def test_problems_can_be_had_as_json(command, tmp_path: Path) -> None:
    (tmp_path / "w.json").write_text('{"passes": {"lora": {"type": "LoRa"}}}')
    done = command("validate", "w.json", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 2
    assert not told["valid"]
    assert any(problem["line"] == 1 for problem in told["problems"])


def test_a_reader_that_goes_away_is_no_error() -> None:
    writer = subprocess.Popen(
        [sys.executable, "-m", "modelpress", "schema"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    writer.stdout.read(1)
    writer.stdout.close()
    assert writer.stderr.read() == ""
    writer.wait(timeout=60)


def test_without_arguments_the_help_is_shown_and_no_error(command) -> None:
    for words in ((), ("passes",)):
        done = command(*words)
        assert done.stdout.startswith("Usage: modelpress")
        assert "Commands" in done.stdout or "Work:" in done.stdout
        assert done.stderr == ""


def test_a_workflow_that_is_not_there_brings_up_those_that_are(command, tmp_path: Path) -> None:
    assert command("run", "workflow.yaml").stderr == "error: There is no file workflow.yaml.\n"
    (tmp_path / "workflows.yml").touch()
    assert command("run", "workflow.yaml").stderr.endswith("hint: Did you mean 'workflows.yml'?\n")
    assert "workflows.yml" in command("plan", "quite-another.json").stderr
