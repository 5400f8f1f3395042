"""Paths as file systems have them: Hebrew under any locale, bytes that are no text, what is in the way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelpress.cli.failure import report_failure

NO_TEXT = os.fsdecode(b"m\xff")


def call(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "modelpress", *map(os.fsencode, arguments)],
        cwd=cwd, env={**os.environ, **environment}, capture_output=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.fixture
def model(tmp_path: Path, emotions_model: Path) -> Path:
    return Path(shutil.copytree(emotions_model, tmp_path / "model"))


@pytest.mark.skipif(sys.platform != "linux", reason="only there may a path be any bytes")
@pytest.mark.parametrize("where", ["model", "file in it", "output", "cache", "workflow"])
def test_a_path_that_is_no_text_is_refused_clearly(model: Path, tmp_path: Path, where: str) -> None:
    output, cache = tmp_path / "out", tmp_path / "cache"
    if where == "model":
        model = model.rename(tmp_path / NO_TEXT)
    elif where == "file in it":
        (model / NO_TEXT).write_text("x")
    elif where == "output":
        output = tmp_path / NO_TEXT
    elif where == "cache":
        cache = tmp_path / NO_TEXT
    if where == "workflow":
        (tmp_path / NO_TEXT).write_text("input_model: {type: HfModel, model_path: model}\n")
        done = call("run", tmp_path / NO_TEXT, cwd=tmp_path)
    else:
        done = call("quantize", model, "-a", "rtn", "-o", output, "--cache-dir", cache, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert b"is not UTF-8" in done.stderr
    assert b"bug" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_no_text_that_comes_this_far_is_no_bug(capsys) -> None:
    with pytest.raises(UnicodeEncodeError) as caught:
        NO_TEXT.encode()
    assert report_failure(caught.value) == 2
    assert "is not UTF-8" in capsys.readouterr().err


def test_a_hebrew_folder_works_under_an_encoding_that_lacks_much(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "\u05de\u05d5\u05d3\u05dc \u20ac \u65e5"
    model.rename(folder)
    done = call(
        "quantize", folder, "-a", "rtn", "-o", folder.with_name("\u05d9 \u65e5"),
        "--cache-dir", tmp_path / "\u05e7", cwd=tmp_path, PYTHONIOENCODING="cp1255", LC_ALL="C",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (folder.with_name("\u05d9 \u65e5") / "model" / "config.json").exists()


def test_a_schema_is_not_written_over_something_else(tmp_path: Path) -> None:
    mine = tmp_path / "mine.json"
    assert call("schema", "-o", mine, cwd=tmp_path).returncode == 0
    assert call("schema", "-o", mine, cwd=tmp_path).returncode == 0
    mine.write_text("years of work")
    done = call("schema", "-o", mine, cwd=tmp_path)
    assert done.returncode == 2
    assert b"--force" in done.stderr
    assert mine.read_text() == "years of work"
    assert call("schema", "-o", mine, "--force", cwd=tmp_path).returncode == 0


def test_migrate_replaces_nothing_that_it_reads(tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text('{"input_model": {"type": "HfModel", "model_path": "m"}, "passes": {}}')
    (tmp_path / "link.json").symlink_to(old)
    (tmp_path / ".new.json.unfinished").write_text("years of work")
    for name in ("old.json", "link.json"):
        done = call("migrate", old, tmp_path / name, "--force", cwd=tmp_path)
        assert done.returncode == 2
        assert b"is the file that is read" in done.stderr
    call("migrate", old, tmp_path / "new.json", cwd=tmp_path)
    assert (tmp_path / ".new.json.unfinished").read_text() == "years of work"
