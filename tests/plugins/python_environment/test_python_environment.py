"""Another Python as a place of work: how it is found, what its worker sees, that code is brought along."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from modelpress.api import HostError
from modelpress_plugins.python_environment import run
from modelpress_plugins.python_environment.config import PythonEnvironmentOptions
from modelpress_plugins.python_environment.run import PythonEnvironment, find_python, open_environment


def python_at(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize("place", ["bin/python", "Scripts/python.exe", "python", "python.exe", "python3"])
def test_a_python_is_found_in_a_folder_however_it_is_laid_out(tmp_path: Path, place: str) -> None:
    there = python_at(tmp_path / place)
    assert find_python(tmp_path) == there
    assert find_python(there) == there


def test_of_an_environment_the_folder_of_programs_will_do(tmp_path: Path) -> None:
    there = python_at(tmp_path / "bin" / "python")
    assert find_python(tmp_path / "bin") == there


@pytest.mark.parametrize("made", [False, True])
def test_a_folder_without_a_python_is_told_with_what_to_do(tmp_path: Path, made: bool) -> None:
    if made:
        (tmp_path / "env").mkdir()
    with pytest.raises(HostError, match="There is no Python in") as told:
        find_python(tmp_path / "env")
    assert "python_environment_path" in told.value.hint


def environment_of(values: dict[str, object], python: Path) -> dict[str, str]:
    options = PythonEnvironmentOptions.parse({"python_environment_path": str(python.parent.parent), **values})
    return run._environment(options, python)


def test_its_worker_finds_programs_of_its_own_environment_first(tmp_path: Path) -> None:
    python = python_at(tmp_path / "env" / "bin" / "python")
    found = environment_of({}, python)
    assert found["PATH"].split(os.pathsep)[0] == str(python.parent)
    assert found["PATH"].endswith(os.environ["PATH"])
    assert found["VIRTUAL_ENV"] == str(tmp_path / "env")


def test_folders_that_the_user_names_come_before_all(tmp_path: Path) -> None:
    python = python_at(tmp_path / "env" / "bin" / "python")
    found = environment_of({"prepend_to_path": ["/opt/a", "/opt/b"]}, python)
    assert found["PATH"].split(os.pathsep)[:3] == ["/opt/a", "/opt/b", str(python.parent)]


def test_paths_of_this_python_are_not_that_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "/of/this/python")
    found = environment_of({}, python_at(tmp_path / "env" / "bin" / "python"))
    assert "/of/this/python" not in found.values()
    assert not {"PYTHONPATH", "PYTHONHOME"} & set(found)


def test_variables_and_the_token_are_as_the_user_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_planted")
    monkeypatch.setenv("MY_PASSWORD", "planted")
    python = python_at(tmp_path / "env" / "bin" / "python")
    assert environment_of({}, python)["HF_TOKEN"] == "hf_planted"
    kept_out = environment_of({"hf_token": False, "environment_variables": {"ACME": "1"}}, python)
    assert "HF_TOKEN" not in kept_out
    assert kept_out["ACME"] == "1"
    assert "planted" not in kept_out.values()


def test_opening_it_starts_nothing_and_needs_no_python_that_runs(tmp_path: Path) -> None:
    python_at(tmp_path / "env" / "bin" / "python")
    system = open_environment(
        PythonEnvironmentOptions.parse({"python_environment_path": str(tmp_path / "env")}), "other"
    )
    assert system.name == "other"
    assert system.traits.ships_code
    assert system.python == tmp_path / "env" / "bin" / "python"
    system.close()


def test_a_python_that_does_not_run_is_told(tmp_path: Path) -> None:
    python = python_at(tmp_path / "env" / "bin" / "python")
    python.write_text("#!/bin/sh\necho no good >&2\nexit 3\n")
    python.chmod(0o755)
    system = open_environment(
        PythonEnvironmentOptions.parse({"python_environment_path": str(tmp_path / "env")}), "other"
    )
    with pytest.raises(HostError):
        system.environment(["pydantic"])
    system.close()


def test_code_of_all_jobs_is_brought_to_one_folder_that_goes_with_it(tmp_path: Path) -> None:
    options = PythonEnvironmentOptions.parse({"python_environment_path": sys.prefix})
    system = PythonEnvironment("other", Path(sys.executable), options)
    kept = system._code
    assert kept.is_dir()
    for name in ("one", "two"):
        package = tmp_path / name / "code" / f"press_{name}"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        with pytest.raises(Exception):  # noqa: B017, PT011 - the folder holds no job: what counts is the code
            system.watch(system.submit(tmp_path / name), lambda event: None)
        assert not (tmp_path / name / "code").exists()
    assert {path.name for path in kept.iterdir()} >= {"press_one", "press_two"}
    system.close()
    assert not kept.exists()


def test_names_of_distributions_are_told_as_they_were_asked() -> None:
    installed = {"Press_Helper": "1.0", "other": "2"}
    assert run._only(installed, ["press-helper"]) == {"press-helper": "1.0"}
    assert run._only(installed, ["PRESS.helper", "absent"]) == {"PRESS.helper": "1.0"}
