"""A package of small passes that behave well and badly, importable here and in the worker."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelpress.run.job import Job, ModelInput, write_job

PASSES = '''
"""Small passes: some behave, some do not."""
import json, os, signal, sys, time
from modelpress.api import Options, PassError, UserError


class Empty(Options):
    text: str = ""
    path: str | None = None


def write(model, options, ctx):
    print("a library prints this")
    (ctx.out / "file.txt").write_text(options.text + (model.path / "file.txt").read_text())
    if options.path:
        (ctx.out / "data.txt").write_text(open(options.path).read())
    ctx.progress(1, 2, "steps")
    ctx.progress(2, 2, "steps")
    ctx.report("loss", 0.5)
    ctx.note("read this")
    return ctx.artifact("text", meta={"pid": os.getpid()})


def empty(model, options, ctx):
    return ctx.artifact("text")


def user_error(model, options, ctx):
    raise UserError("The column 'tone' is missing.", "Name one of: mood.")


def crash(model, options, ctx):
    return 1 / 0


def exit_early(model, options, ctx):
    sys.exit(3)


def out_of_memory(model, options, ctx):
    raise MemoryError


def killed(model, options, ctx):
    os.kill(os.getpid(), signal.SIGKILL)


def segfault(model, options, ctx):
    os.kill(os.getpid(), signal.SIGSEGV)


def slow(model, options, ctx):
    (ctx.checkpoint / "pid").write_text(str(os.getpid()))
    ctx.progress(1, 100, "steps")
    time.sleep(60)


def wrong_format(model, options, ctx):
    return ctx.artifact("other")


def nothing(model, options, ctx):
    return None


def disk_full(model, options, ctx):
    import errno
    raise OSError(errno.ENOSPC, "No space left on device", str(ctx.out / "x"))


def count(model, options, ctx):
    return {"words": len((model.path / "file.txt").read_text().split())}


def check(folder):
    if not (folder / "file.txt").exists():
        raise UserError("no file.txt")


def load(artifact, device):
    class Loaded:
        def close(self):
            (artifact.path.parent / "loaded").touch()
    return Loaded()
'''


@pytest.fixture
def passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of the package of passes."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "demo_passes.py").write_text(PASSES)
    monkeypatch.syspath_prepend(str(source))
    yield "demo_passes"
    sys.modules.pop("demo_passes", None)


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """An input model: one text file."""
    folder = tmp_path / "input"
    folder.mkdir()
    (folder / "file.txt").write_text("one two three")
    return folder


@pytest.fixture
def make_job(tmp_path: Path, passes: str, model_folder: Path):
    """Lay out a job folder for one of the passes; returns the folder."""

    def make(function: str, number: int = 0, inputs: dict[str, Path] | None = None, **fields: object) -> Path:
        folder = tmp_path / f"job-{function}-{number}"
        folder.mkdir(exist_ok=True)
        values: dict[str, object] = {
            "kind": "pass",
            "name": function,
            "type": function.title(),
            "run": f"{passes}:{function}",
            "config": f"{passes}:Empty",
            "options": {},
            "model": ModelInput("model", "text", "content:1"),
            "produces": "text",
            **fields,
        }
        write_job(folder, Job(**values), {"model": model_folder, **(inputs or {})})  # type: ignore[arg-type]
        return folder

    return make
