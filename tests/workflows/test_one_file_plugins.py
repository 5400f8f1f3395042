"""A plugin of one file beside a workflow: loaded where the workflow names it, and nowhere else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = """
import shutil
from modelpress.api import FormatSpec, ModelFacts, ModelSpec, Options, PassSpec, UserError, hookimpl

MODELPRESS_API = 1


class Where(Options):
    path: str


class Shout(Options):
    mark: str = "!"


@hookimpl
def modelpress_models():
    return [ModelSpec(name="Letter", summary="A text in a folder.", produces="letter",
                      open="my_letters:open_letter", config="my_letters:Where")]


@hookimpl
def modelpress_formats():
    return [FormatSpec(name="letter", summary="A text in a folder.", check="my_letters:check")]


@hookimpl
def modelpress_passes():
    return [PassSpec(name="Shout", summary="Write it in capitals.", accepts=("letter",), produces="letter",
                     run="my_letters:shout", config="my_letters:Shout")]


def check(folder):
    if not (folder / "letter.txt").is_file():
        raise UserError(f"{folder} has no letter.txt.")


def open_letter(options, ctx):
    return ModelFacts("letter", path=ctx.folder / options.path)


def shout(model, options, ctx):
    text = (model.path / "letter.txt").read_text()
    (ctx.out / "letter.txt").write_text(text.upper() + options.mark)
    return ctx.artifact("letter")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "modelpress_plugins").mkdir()
    (tmp_path / "modelpress_plugins" / "my_letters.py").write_text(PLUGIN)
    (tmp_path / "modelpress_plugins" / "other.py").write_text("raise SystemExit('nobody named me')")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "letter.txt").write_text("hello")
    write(tmp_path)
    return tmp_path


def write(folder: Path, **changes: object) -> None:
    document: dict[str, object] = {
        "plugins": ["my_letters.py"],
        "input_model": {"type": "Letter", "path": "model"},
        "passes": {"loud": {"type": "Shout"}},
        "cache_dir": "cache",
        "output_dir": "output",
        **changes,
    }
    kept = {key: value for key, value in document.items() if value is not None}
    (folder / "workflow.json").write_text(json.dumps(kept))


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "modelpress", *(arguments or ("run", "workflow.json"))],
        cwd=folder, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_what_it_brings_runs_in_the_worker_too(folder: Path) -> None:
    done = run(folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "output" / "model" / "letter.txt").read_text() == "HELLO!"


def test_a_change_of_the_file_is_a_change_of_the_result(folder: Path) -> None:
    assert run(folder).returncode == 0
    file = folder / "modelpress_plugins" / "my_letters.py"
    file.write_text(file.read_text().replace("text.upper()", "text.title()"))
    done = run(folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "output" / "model" / "letter.txt").read_text() == "Hello!"


def test_a_change_within_a_second_to_the_same_size_counts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python would take the bytecode of the first run for that of the second file."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    assert run(folder).returncode == 0
    file = folder / "modelpress_plugins" / "my_letters.py"
    time = file.stat().st_mtime_ns
    file.write_text(file.read_text().replace("text.upper()", "text.title()"))
    os.utime(file, ns=(time, time))
    assert run(folder).returncode == 0
    assert (folder / "output" / "model" / "letter.txt").read_text() == "Hello!"
    assert not list(folder.glob("modelpress_plugins/__pycache__"))


def test_a_workflow_that_names_no_file_loads_none(folder: Path) -> None:
    write(folder, plugins=None)
    done = run(folder, "validate", "workflow.json")
    assert done.returncode == 2
    assert "'Letter'" in done.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.py", "There are: my_letters.py, other.py."),
        ("../evil.py", "no name of a plugin's file"),
        ("json.py", "There is no modelpress_plugins/json.py"),
        ("other.py", "other.py does not work"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_told_with_its_line(folder: Path, name: str, words: str) -> None:
    write(folder, plugins=["my_letters.py", name])
    done = run(folder, "validate", "workflow.json")
    assert done.returncode == 2
    assert words in done.stderr
    assert "workflow.json:1" in done.stderr


def test_a_file_with_the_name_of_an_installed_module_is_refused(folder: Path) -> None:
    (folder / "modelpress_plugins" / "json.py").write_text(PLUGIN)
    write(folder, plugins=["json.py"])
    assert "called as an installed module" in run(folder, "validate", "workflow.json").stderr
