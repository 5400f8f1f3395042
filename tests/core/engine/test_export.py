"""Bringing a finished model to the output folder."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

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
