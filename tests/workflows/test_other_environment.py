"""PythonEnvironment: passes run in an environment that has neither modelpress nor the vendor's plugin."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second environment with the same libraries but without what is installed as editable here."""
    folder = tmp_path_factory.mktemp("other") / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    found = subprocess.run([str(folder / "bin" / "python"), "-c", "import modelpress"], capture_output=True)
    if found.returncode == 0:
        pytest.skip("modelpress is installed here as a wheel: an environment without it needs an index")
    return folder


def workflow(small, other: Path, **changes: object) -> Path:
    hello = {"type": "CastDtype", "dtype": "float32"}
    return small.write(
        systems={"elsewhere": {"type": "PythonEnvironment", "python_environment_path": str(other)}},
        host="elsewhere",
        **{"passes": {"hello": hello}, **changes},
    )


def test_a_vendors_pass_runs_there(small, cli, other: Path, tmp_path: Path) -> None:
    listed = json.loads(cli("passes", "list", "--json").stdout)
    if "CastDtype" not in {entry["name"] for entry in listed}:
        pytest.skip("modelpress-hello is not installed")
    done = cli("run", workflow(small, other))
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "output" / "run.json").read_text())
    assert record["steps"][0]["system"] == "elsewhere"
    assert (tmp_path / "output" / "model" / "model.safetensors").stat().st_size > 16e6


def test_several_passes_share_one_warm_worker_there(small, cli, other: Path) -> None:
    passes = {"rtn": {"type": "Rtn", "bits": 8}, "builder": {"type": "ModelBuilder", "precision": "int8"}}
    done = cli("run", workflow(small, other, passes=passes))
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_environment_that_does_not_exist_is_told_before_any_work(small, cli, tmp_path: Path) -> None:
    done = cli("run", workflow(small, tmp_path / "nowhere"))
    assert done.returncode == 2
    assert "There is no Python in" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_environment_without_a_library_is_told_before_any_work(small, cli, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    done = cli("run", workflow(small, bare))
    assert done.returncode != 0
    assert done.returncode == 3
    assert "The Python of 'elsewhere' lacks what is needed there: " in done.stderr
    assert "pydantic>=2.11, xxhash>=3.5 (the worker)" in done.stderr
    assert "pip install" in done.stderr


def test_its_variables_are_never_shown(small, cli, other: Path, tmp_path: Path) -> None:
    path = workflow(small, other, passes={"lora": {**small.lora(), "target_modules": ["nothing_like_it"]}})
    document = json.loads(path.read_text())
    document["systems"]["elsewhere"]["environment_variables"] = {"API_TOKEN": "a-secret-value"}
    path.write_text(json.dumps(document))
    done = cli("run", path)
    assert done.returncode == 2
    assert "a-secret-value" not in done.stdout + done.stderr
    for file in tmp_path.rglob("*"):
        if file.is_file() and file != path and file.suffix in (".json", ".txt", ".jsonl"):
            assert "a-secret-value" not in file.read_text(errors="replace"), file
