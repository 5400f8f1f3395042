"""A disk that fills up in the middle of work: told as that, with place and need, whoever meets it."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import modelpress
from modelpress.artifact import Artifact
from modelpress.disk import is_disk_full
from modelpress.engine.export import export_model
from modelpress.errors import DiskFull, PassError


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)], capture_output=True
    )
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("way", ["write", "library", "mapped"])
def test_a_step_that_fills_the_disk_says_so_and_leaves_room(demo, small_disk: Path, way: str) -> None:
    demo.write(cache_dir=str(small_disk / "cache"), passes={"first": {"type": "Fill", "text": way}})
    with pytest.raises(DiskFull) as told:
        modelpress.run(demo.folder / "workflow.json")
    assert str(small_disk) in told.value.message
    assert "disk is full" in told.value.message
    assert "of 0.4 MB are free now" in told.value.message
    assert "writes about" in told.value.message
    assert not list(small_disk.glob("cache/jobs/*/out/*"))


def test_an_export_to_a_full_disk_is_told_and_leaves_nothing(small_disk: Path, tmp_path: Path) -> None:
    folder = tmp_path / "finished"
    folder.mkdir()
    (folder / "text.txt").write_text("x" * 600_000)
    with pytest.raises(DiskFull, match=r"it has 0\.6 MB.*disk is full"):
        export_model(Artifact(folder, "text", "key"), small_disk / "out" / "model")
    assert [path for path in small_disk.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "x"), True),
        (RuntimeError("I/O error: No space left on device (os error 28)"), True),
        (RuntimeError("something else"), False),
        (PassError("it failed"), False),
    ],
)
def test_what_libraries_say_of_a_full_disk_is_understood(
    error: Exception, full: bool, tmp_path: Path
) -> None:
    assert is_disk_full(error, tmp_path) == full
    wrapped = ValueError("An error occurred")
    wrapped.__cause__ = error
    assert is_disk_full(wrapped, tmp_path) == full
