"""The wheel: holds what it should, and works from a fresh environment outside the checkout."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w"]
    subprocess.run([*command, str(folder), str(ROOT)], check=True, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel, and the libraries that are installed here."""
    folder = tmp_path_factory.mktemp("fresh") / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    command = [str(python), "-m", "pip", "install", "-q", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(command, check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def run(python: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python.with_name("modelpress")), *arguments],
        cwd=folder, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip


def test_it_holds_the_two_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"modelpress", "modelpress_plugins"}
    assert "modelpress/py.typed" in names
    assert "modelpress/templates/pass.txt" in names
    assert not [name for name in names if name.endswith(".pyc") or "/tests/" in name]
    (weights,) = [name for name in names if name.endswith(".safetensors")]
    assert weights == "modelpress_plugins/first_steps/emotions/model/model.safetensors"
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_its_code_comes_from_the_wheel(python: Path, tmp_path: Path) -> None:
    code = "import modelpress, modelpress_plugins as p; print(modelpress.__file__, p.__file__)"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert all(str(python.parents[1]) in path for path in done.stdout.split())


def test_it_lists_validates_and_plans_outside_the_checkout(python: Path, tmp_path: Path) -> None:
    listed = run(python, "passes", "list", "--json", folder=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert {"LoRA", "MergeAdapterWeights", "ModelBuilder", "Gptq"} <= {
        entry["name"] for entry in json.loads(listed.stdout)
    }
    workflow = str(ROOT / "examples" / "emotions" / "workflow.yaml")
    for command in ("validate", "plan"):
        done = run(python, command, workflow, folder=tmp_path)
        assert done.returncode == 0, done.stderr


def test_its_example_is_copied_and_can_be_run(python: Path, tmp_path: Path) -> None:
    assert run(python, "init", "--example", folder=tmp_path).returncode == 0
    done = run(python, "plan", "emotions/workflow.yaml", folder=tmp_path)
    assert done.returncode == 0, done.stderr


def test_it_writes_a_new_plugin_and_checks_it(python: Path, tmp_path: Path) -> None:
    written = run(python, "plugins", "new", "pass", "AcmePrune", "--folder", "new", folder=tmp_path)
    assert written.returncode == 0, written.stderr
    checked = run(python, "plugins", "check", "./new", folder=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
