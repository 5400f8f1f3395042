"""Bringing a finished model to the output folder."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from modelpress.artifact import Artifact, write_manifest
from modelpress.engine.export import export_model
from modelpress.errors import UserError


@pytest.fixture
def finished(tmp_path: Path) -> Artifact:
    folder = tmp_path / "cache"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.txt", "deep/b.txt"):
        (folder / name).write_text(name, encoding="utf-8")
    os.utime(folder / "a.txt", (1, 1))
    artifact = Artifact(folder, "text", "key")
    write_manifest(artifact)
    return artifact


def test_every_file_is_copied_with_its_time(finished: Artifact, tmp_path: Path) -> None:
    target = export_model(finished, tmp_path / "output" / "model").path
    files = {p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()}
    assert files == {"a.txt", "deep/b.txt", "modelpress.json"}
    assert (target / "a.txt").stat().st_mtime == 1


def test_a_full_disk_is_told_once_and_leaves_the_earlier_export(
    finished: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "output" / "model"
    earlier = Artifact(target, "text", "another")
    target.mkdir(parents=True)
    (target / "old.txt").write_text("old", encoding="utf-8")
    write_manifest(earlier)

    def full(source: Any, target: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr("modelpress.engine.export._reflink", lambda source, target: False)
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(UserError) as told:
        export_model(finished, target)
    assert told.value.message.startswith(f"The model cannot be written to {target}: it has 0.0 MB. The disk")
    assert str(finished.path) in told.value.hint
    assert [p.name for p in target.parent.iterdir()] == ["model"]
    assert (target / "old.txt").read_text(encoding="utf-8") == "old"


def test_what_a_killed_export_left_is_removed_by_the_next(finished: Artifact, tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from modelpress.artifact import open_artifact;"
        "from modelpress.engine import export;"
        "export._settle_manifest = lambda artifact, folder: os.kill(os.getpid(), signal.SIGKILL);"
        "export.export_model(open_artifact(Path(sys.argv[1])), Path(sys.argv[2]))"
    )
    target = tmp_path / "output" / "model"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code, str(finished.path), str(target)], check=False)
    mine = tmp_path / "output" / ".model.mine"
    mine.mkdir()
    assert len(list(target.parent.iterdir())) > 1
    export_model(finished, target)
    assert {path.name for path in target.parent.iterdir()} == {"model", ".model.mine"}


def test_an_export_killed_between_two_renames_is_put_back(finished: Artifact, tmp_path: Path) -> None:
    target = export_model(finished, tmp_path / "output" / "model").path
    workshop = target.parent / ".model.modelpress-12345678"
    workshop.mkdir()
    (workshop / ".modelpress-unfinished").touch()
    os.replace(target, workshop / "old")
    export_model(finished, target)
    assert [path.name for path in target.parent.iterdir()] == ["model"]


def test_an_export_that_is_at_work_is_left_alone(finished: Artifact, tmp_path: Path) -> None:
    workshop = tmp_path / "output" / ".model.modelpress-12345678"
    workshop.mkdir(parents=True)
    with FileLock(workshop / ".modelpress-unfinished"):
        export_model(finished, tmp_path / "output" / "model")
        assert workshop.exists()
