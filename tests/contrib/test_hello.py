"""modelpress-hello works as a distribution of its own, found through its entry point."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

HELLO = Path(__file__).resolve().parents[2] / "plugins_contrib" / "modelpress-hello"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """As after `pip install -e`, without a package index: the metadata that importlib looks for, a path."""
    project = tomllib.loads((HELLO / "pyproject.toml").read_text())["project"]
    site = tmp_path_factory.mktemp("site")
    info = site / f"modelpress_hello-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = project["entry-points"]["modelpress"]
    lines = [f"{name} = {module}" for name, module in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[modelpress]", *lines]) + "\n")
    path = [str(site), str(HELLO / "src"), *filter(None, sys.path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def test_its_pass_is_listed(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "modelpress", "passes", "list"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "CastDtype" in done.stdout


def test_its_own_tests_pass(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HELLO)]
    done = subprocess.run(
        command, env=environment, cwd=HELLO, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
