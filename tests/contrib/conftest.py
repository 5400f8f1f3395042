"""Distributions of plugins_contrib as after `pip install -e`, without a package index."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

CONTRIB = Path(__file__).resolve().parents[2] / "plugins_contrib"


class Installed:
    """One distribution: the metadata that importlib looks for, and its sources on the path."""

    def __init__(self, name: str, site: Path) -> None:
        self.folder = CONTRIB / name
        project = tomllib.loads((self.folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        info = site / f"{name.replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir()
        lines = [f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}"]
        (info / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
        points = [
            line
            for group, named in project["entry-points"].items()
            for line in (f"[{group}]", *(f"{key} = {value}" for key, value in named.items()))
        ]
        (info / "entry_points.txt").write_text("\n".join(points) + "\n", encoding="utf-8")
        path = [str(site), str(self.folder / "src"), *filter(None, sys.path)]
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}

    def run(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """`python -m …` beside it."""
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=cwd or self.folder, env=self.environment, capture_output=True, text=True, timeout=400,
            check=False,
        )  # fmt: skip


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Installed]:
    """Make a distribution of plugins_contrib importable for processes."""
    return lambda name: Installed(name, tmp_path_factory.mktemp(name))
