"""A package of small passes that behave well and badly, importable here and in the worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from modelpress.engine.job import Job, ModelInput, write_job
from modelpress.fence import Origin

ORIGIN = Origin("pass", "", "demo", "demo-passes", "1.5", "pip install demo")
PASSES = '''
"""Small passes: some behave, some do not."""
import json, os, signal, sys, time
from modelpress.api import Meta, Options, PassError, UserError


class Empty(Options):
    text: str = ""
    path: str | None = None


def write(model, options, ctx):
    print("a library prints this")
    (ctx.out / "file.txt").write_text(options.text + (model.path / "file.txt").read_text())
    if options.path:
        (ctx.out / "data.txt").write_text(open(options.path).read())
    ctx.progress(1, 3, "steps")
    ctx.progress(2, 3, "steps")
    ctx.report("loss", 0.5)
    ctx.note("read this")
    return ctx.artifact("text", meta=Meta(extra={"pid": os.getpid()}))


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
            "origin": ORIGIN._replace(name=function.title()),
            "name": function,
            "run": f"{passes}:{function}",
            "config": f"{passes}:Empty",
            "options": {},
            "model": ModelInput("model", "text", "content:1"),
            "produces": "text",
            "gives": ("words",),
            **fields,
        }
        write_job(folder, Job(**values), {"model": model_folder, **(inputs or {})})  # type: ignore[arg-type]
        return folder

    return make


HERE = Path(__file__).parent


@dataclass
class Demo:
    """A folder with a workflow over text files, and the demo plugin installed for its runs."""

    folder: Path
    site: Path
    log: Path

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(self.site), *(p for p in sys.path if p and p != str(self.site))])
        return {
            **os.environ,
            "PYTHONPATH": path,
            "MODELPRESS_DEMO_LOG": str(self.log),
            "MODELPRESS_CACHE": "unused",
        }

    @property
    def done(self) -> list[str]:
        """The pieces of work really done so far."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def write(self, **changes: object) -> Path:
        """The workflow file; changes replace top-level keys (None takes one out)."""
        document: dict[str, object] = {
            "input_model": {"type": "TextModel", "model_path": "model"},
            "passes": {"first": {"type": "Append", "text": " more"}, "second": {"type": "Upper"}},
            "cache_dir": "cache",
            "output_dir": "output",
            **changes,
        }
        path = self.folder / "workflow.json"
        path.write_text(json.dumps({k: v for k, v in document.items() if v is not None}, indent=1))
        return path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "modelpress", *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line to its end."""
        return subprocess.run(
            self.command("run", str(self.folder / "workflow.json"), *arguments),
            env=self.environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command line and leave it running."""
        return subprocess.Popen(
            self.command("run", str(self.folder / "workflow.json"), *arguments),
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            # A test suite in the background of a shell has these ignored, and hands that on.
            preexec_fn=lambda: [signal.signal(s, signal.SIG_DFL) for s in (signal.SIGINT, signal.SIGHUP)],
        )  # fmt: skip

    @property
    def text(self) -> str:
        """What the last run made."""
        return (self.folder / "output" / "model" / "text.txt").read_text()


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Demo]:
    """A workflow folder with a two-word model, and the demo plugin importable and discoverable."""
    site = tmp_path / "site"
    info = site / "demo_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: demo-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[modelpress]\ndemo = demo_plugin\n")
    (info / "RECORD").write_text("demo_plugin.py,,\ndemo_plugin_options.py,,\n")
    for name in ("demo_plugin", "demo_plugin_options"):
        (site / f"{name}.py").write_text((HERE / f"{name}.py.txt").read_text())
    folder = tmp_path / "work"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "text.txt").write_text("one two")
    log = tmp_path / "log"
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("MODELPRESS_DEMO_LOG", str(log))
    made = Demo(folder, site, log)
    made.write()
    yield made
    for name in ("demo_plugin", "demo_plugin_options"):
        sys.modules.pop(name, None)


class Far:
    """The demo with the far system as its host."""

    def __init__(self, demo) -> None:
        self.demo = demo
        self.place = demo.folder / "far"

    def write(self, *, options: dict | None = None, **changes: object) -> None:
        systems = {"far": {"type": "Far", "place": "far", **(options or {})}}
        self.demo.write(**{"systems": systems, "host": "far", **changes})

    @property
    def carried(self) -> list[str]:
        file = self.place / "carried"
        return file.read_text().splitlines() if file.exists() else []

    def count(self, what: str) -> int:
        return sum(line.startswith(what) for line in self.carried)

    @property
    def working(self) -> list[int]:
        pids = [int(file.read_text().split()[0]) for file in self.place.glob("jobs/*/pid")]
        return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]


@pytest.fixture
def far(demo) -> Iterator[Far]:
    info = demo.site / "far_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: far-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[modelpress]\nfar = far_plugin\n")
    for name in ("far_plugin", "far_place"):
        (demo.site / f"{name}.py").write_text((HERE / f"{name}.py.txt").read_text())
    made = Far(demo)
    yield made
    for pid in made.working:
        os.kill(pid, signal.SIGKILL)
