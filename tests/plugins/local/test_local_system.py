"""This machine as a place of work: what it has, the workers it starts, and that none is left."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from modelpress.api import Accelerator, Event, Report
from modelpress.engine.job import Job, ModelInput, write_job
from modelpress.errors import WorkerDied
from modelpress.fence import Origin
from modelpress_plugins.local.config import LocalOptions
from modelpress_plugins.local.run import LocalSystem, open_local
from modelpress_plugins.systems import accelerators

WEB = Accelerator("gpu", "WebGpuExecutionProvider")
CUDA = Accelerator("gpu", "CUDAExecutionProvider")
WORK = """
import os, time
def write(model, options, ctx):
    ctx.report("pid", os.getpid())
    (ctx.out / "text.txt").write_text(os.environ.get("ACME_WORD", "none"))
    return ctx.artifact("text")
def wait(model, options, ctx):
    (ctx.checkpoint / "pid").write_text(str(os.getpid()))
    ctx.report("pid", os.getpid())
    time.sleep(60)
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "local_work.py").write_text(WORK)
    monkeypatch.syspath_prepend(str(folder))
    return folder


def job(folder: Path, what: str) -> Path:
    model = folder.with_name("model")
    model.mkdir(exist_ok=True)
    (model / "text.txt").write_text("one")
    folder.mkdir()
    write_job(
        folder,
        Job(
            Origin("pass", what, "acme", "acme", "1"), name=what, run=f"local_work:{what}",
            config="modelpress.options:Options", options={}, model=ModelInput("model", "text", "content:1"),
            produces="text",
        ),
        {"model": model},
    )  # fmt: skip
    return folder


@pytest.fixture
def opened(code: Path) -> Iterator[LocalSystem]:
    system = open_local(LocalOptions.parse({}), "here")
    yield system
    system.close()


def run(system: LocalSystem, folder: Path) -> int:
    """Run the job to its end; the process that did it."""
    told: list[Event] = []
    system.watch(system.submit(folder), told.append)
    return next(int(event.value) for event in told if isinstance(event, Report))  # type: ignore[call-overload]


def test_opening_it_starts_nothing(code: Path) -> None:
    before = psutil.Process().children()
    system = open_local(LocalOptions.parse({"max_jobs": 3}), "here")
    assert system.name == "here"
    assert system.traits.max_jobs == 3
    assert psutil.Process().children() == before
    system.close()


def test_jobs_run_in_one_worker_beside_this_process(opened: LocalSystem, tmp_path: Path) -> None:
    first, second = (run(opened, job(tmp_path / name, "write")) for name in ("one", "two"))
    assert first == second != os.getpid()
    assert (tmp_path / "one" / "out" / "text.txt").read_text() == "none"


def test_its_workers_end_with_it(code: Path, tmp_path: Path) -> None:
    system = open_local(LocalOptions.parse({}), "here")
    pid = run(system, job(tmp_path / "one", "write"))
    assert psutil.pid_exists(pid)
    system.close()
    assert not psutil.pid_exists(pid)
    system.close()  # closing twice does no harm


def test_a_job_is_cancelled_and_the_next_has_a_new_worker(opened: LocalSystem, tmp_path: Path) -> None:
    handle = opened.submit(job(tmp_path / "one", "wait"))
    seen: list[int] = []

    def cancel(event: Event) -> None:
        if isinstance(event, Report):
            seen.append(int(event.value))  # type: ignore[call-overload]
            opened.cancel(handle)

    with pytest.raises(WorkerDied):
        opened.watch(handle, cancel)
    assert not psutil.pid_exists(seen[0])
    assert run(opened, job(tmp_path / "two", "write")) != seen[0]


def test_cancelling_what_has_ended_does_nothing(opened: LocalSystem, tmp_path: Path) -> None:
    handle = opened.submit(job(tmp_path / "one", "write"))
    opened.watch(handle, lambda event: None)
    opened.close()
    opened.cancel(handle)


def test_its_workers_have_the_variables_that_are_named(
    code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_WORD", "from the shell")
    for variables, word in (([], "none"), (["ACME_WORD"], "from the shell"), ({"ACME_WORD": "said"}, "said")):
        system = open_local(LocalOptions.parse({"environment_variables": variables}), "here")
        folder = tmp_path / word.replace(" ", "_")
        run(system, job(folder, "write"))
        system.close()
        assert (folder / "out" / "text.txt").read_text() == word


def test_it_tells_the_versions_of_this_python(opened: LocalSystem) -> None:
    found = opened.environment(["pydantic>=2", "nobodys-distribution"])
    assert set(found.libraries) == {"pydantic"}
    assert found.digest == ""


@pytest.mark.parametrize("visible", ["", "-1"])
def test_a_gpu_that_is_hidden_is_not_there(
    opened: LocalSystem, monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert not accelerators.has_gpu()
    assert not opened.has(CUDA)
    assert opened.has(Accelerator())


def test_an_execution_provider_is_there_where_one_of_its_wheels_is() -> None:
    asked: list[str] = []

    def installed(names: object) -> dict[str, str]:
        asked.extend(names)  # type: ignore[call-overload]
        return {"onnxruntime-webgpu": "1.23"} if "onnxruntime-webgpu" in asked else {}

    assert accelerators.has(WEB, installed)
    assert "onnxruntime-webgpu" in asked
    assert not accelerators.has(WEB, lambda names: {})
    assert not accelerators.has(Accelerator("npu", "NobodysExecutionProvider"), lambda names: {})


def test_the_cpu_provider_on_a_gpu_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpu = Accelerator("gpu", "CPUExecutionProvider")
    for there in (True, False):
        monkeypatch.setattr(accelerators, "has_gpu", lambda there=there: there)
        assert accelerators.has(on_gpu, lambda names: {}) is there
        assert accelerators.has(CUDA, lambda names: {}) is there


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /dev")
def test_a_device_file_is_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(accelerators, "Path", lambda _: tmp_path)
    assert not accelerators.has_gpu()
    (tmp_path / "nvidiactl").touch()  # the driver's, there without a card too
    assert not accelerators.has_gpu()
    (tmp_path / "nvidia0").touch()
    assert accelerators.has_gpu()
