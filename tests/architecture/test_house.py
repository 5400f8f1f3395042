"""The state of the house: files stay short, committed products are fresh, nothing large slips in."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from modelpress.scaffold import KINDS

ROOT = Path(__file__).resolve().parents[2]
SHARED_ROOMS = {"hf", "grids", "tensors", "systems", "onnx_graph"}
"""Packages of modelpress_plugins that bring nothing by themselves: what several plugins stand on."""


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / line for line in done.stdout.splitlines()]


def test_no_file_is_large() -> None:
    assert [p.name for p in tracked() if p.is_file() and p.stat().st_size > 10 * 2**20] == []


def test_source_files_are_short() -> None:
    long = {
        p.relative_to(ROOT).as_posix(): lines
        for p in tracked()
        if any(p.is_relative_to(ROOT / root) for root in ("core", "plugins"))
        if p.suffix == ".py" and (lines := len(p.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert long == {}


def test_the_committed_schema_is_fresh() -> None:
    """It holds what modelpress itself brings, whatever else is installed here."""
    done = subprocess.run(
        [sys.executable, "-m", "modelpress", "schema"],
        capture_output=True, text=True, check=True, cwd=ROOT,
        env={**os.environ, "MODELPRESS_BLOCK_PLUGINS": "hello,example"},
    )  # fmt: skip
    committed = (ROOT / "docs" / "workflow.schema.json").read_text(encoding="utf-8")
    assert committed == done.stdout, "run `make schema`"


def test_the_pages_on_plugins_are_fresh(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "modelpress", "plugins", "docs", str(tmp_path)],
        capture_output=True, text=True, check=True, cwd=ROOT,
        env={**os.environ, "MODELPRESS_BLOCK_PLUGINS": "hello,example"},
    )  # fmt: skip
    made = {path.relative_to(tmp_path): path.read_text("utf-8") for path in tmp_path.rglob("*.md")}
    assert len(made) == 1 + len(KINDS)
    stale = [name for name, text in made.items() if (ROOT / "docs" / name).read_text("utf-8") != text]
    assert stale == [], "run `make docs`"


def test_every_plugin_folder_has_its_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    folders = {p.parent.name for p in (ROOT / "plugins" / "modelpress_plugins").glob("*/__init__.py")}
    named = {value.rpartition(".")[2] for value in project["entry-points"]["modelpress"].values()}
    assert named == folders - SHARED_ROOMS


def test_every_pinned_version_is_exact() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and not line.startswith("#") and "==" not in line] == []
