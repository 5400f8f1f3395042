"""Docker in real containers: what a job sees, what holds it, what is left of it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import docker as package
import pytest

import modelpress
from modelpress.api import Event, HostError, Log, Registry, Report, SystemSpec, WorkerDied
from modelpress.engine.job import Job, ModelInput, Source, ship_code, write_job
from modelpress.fence import Origin
from modelpress.requirements import WORKER_REQUIRES
from modelpress_plugins.docker.system import Docker

IMAGE = "localhost/modelpress-test:latest"
WORK = '''
"""Passes that look around in a container."""
import json, os, socket, sys, time
from pathlib import Path
from modelpress.api import Options


class Empty(Options):
    pass


def look(model, options, ctx):
    """What there is: user, network, writable places, limits."""
    found = {"user": [os.getuid(), os.getgid()], "argv": sys.argv, "token": os.environ.get("ACME_TOKEN", "")}
    try:
        (model.path / "new").touch()
        found["writes"] = True
    except OSError:
        found["writes"] = False
    found["interfaces"] = sorted(name for _, name in socket.if_nameindex())
    found["files"] = sorted(path.name for path in model.path.rglob("*"))
    found["text"] = (model.path / "text.txt").read_text()
    found["shm"] = os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize
    (ctx.out / "found.json").write_text(json.dumps(found))
    return ctx.artifact("text")


def hoard(model, options, ctx):
    kept = []
    while True:
        kept.append(bytearray(os.urandom(1)) * (16 << 20))


def wait(model, options, ctx):
    for number in range(600):
        ctx.report("number", number)
        time.sleep(0.05)
        if (ctx.checkpoint / "stop").exists():
            break
    return look(model, options, ctx)
'''


@pytest.fixture
def client(engine) -> Iterator[package.DockerClient]:
    made = package.DockerClient(engine.address)
    yield made
    made.close()


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


@pytest.fixture
def open_system(engine, registry: Registry, tmp_path: Path, monkeypatch) -> Iterator[Callable[..., Docker]]:
    monkeypatch.setenv("MODELPRESS_CACHE", str(tmp_path / "cache"))
    opened = []

    def make(**options: object) -> Docker:
        registered = registry.find(SystemSpec, "Docker")
        parsed = registered.parse({"image_name": IMAGE, **options})
        opened.append(registered.resolve(registered.spec.open)(parsed, "box"))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Path]:
    """Lays a job out: one of the passes above, over a model with a text."""
    code = tmp_path / "looking"
    code.mkdir()
    (code / "__init__.py").write_text(WORK)

    def make(what: str, *, model: Path | None = None, secrets: tuple[str, ...] = ()) -> Path:
        if model is None:
            model = tmp_path / "model"
            model.mkdir(exist_ok=True)
            (model / "text.txt").write_text("one two")
        folder = tmp_path / f"job-{uuid4().hex[:6]}"
        origin = Origin("pass", what, "looking", "looking", "0")
        asked = Job(
            origin, what, f"looking:{what}", "looking:Empty", {}, ModelInput("model", "text", "content:1"),
            produces="text", id=uuid4().hex, sources={"model": Source("content:1")},
            requires=WORKER_REQUIRES, secrets=secrets,
        )  # fmt: skip
        write_job(folder, asked, {"model": model})
        ship_code(folder, [Path(modelpress.__file__).parent, code])
        return folder

    return make


def found(folder: Path) -> dict:
    if (folder / "error.json").exists():
        pytest.fail((folder / "error.json").read_text())
    return json.loads((folder / "out" / "found.json").read_text())


def do(system: Docker, folder: Path) -> dict:
    system.watch(system.submit(folder), lambda event: None)
    return found(folder)


def test_a_job_runs_as_the_caller_reads_only_and_has_no_network(open_system, job) -> None:
    folder = job("look")
    seen = do(open_system(), folder)
    assert seen["user"] == [os.getuid(), os.getgid()]
    assert seen["writes"] is False
    assert seen["interfaces"] == ["lo"]
    assert seen["text"] == "one two"
    made = folder / "out" / "found.json"
    assert (made.stat().st_uid, made.stat().st_gid) == (os.getuid(), os.getgid())


def test_limits_and_parameters_reach_the_container(open_system, job, client) -> None:
    folder = job("wait")
    system = open_system(
        shm_size="8MiB", cpus=0.5, memory="500MiB",
        run_params={"labels": {"team": "press"}, "environment": ["ACME_TOKEN=x"], "hostname": "press"},
    )  # fmt: skip
    handle = system.submit(folder)
    attributes = client.containers.get(handle["container"]).attrs
    (folder / "checkpoint" / "stop").touch()
    system.watch(handle, lambda event: None)
    assert found(folder)["shm"] == 8 << 20
    assert found(folder)["token"] == "x"
    assert attributes["HostConfig"]["Memory"] == 500 << 20
    assert attributes["Config"]["Hostname"] == "press"
    labels = attributes["Config"]["Labels"]
    assert labels["team"] == "press"
    assert (labels["modelpress"], labels["modelpress.step"], labels["modelpress.system"]) == (
        "job",
        "wait",
        "box",
    )


def test_a_job_over_its_memory_is_told_as_that(open_system, job, client) -> None:
    system = open_system(memory="200MiB")
    assert system.environment(()).memory == 200 << 20
    with pytest.raises(WorkerDied, match=r"reached its memory limit of 210 MB") as raised:
        system.watch(system.submit(job("hoard")), lambda event: None)
    assert "Raise `memory`" in raised.value.hint
    assert client.containers.list(all=True) == []


def test_a_snapshot_of_links_is_mounted_file_by_file(open_system, job, tmp_path: Path) -> None:
    """As the hub's cache keeps a model: links to blobs beside it."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    blobs.mkdir()
    (snapshot / "part").mkdir(parents=True)
    (blobs / "1").write_text("from a blob")
    (snapshot / "text.txt").symlink_to("../../blobs/1")
    (snapshot / "part" / "other.txt").symlink_to("../../../blobs/1")
    seen = do(open_system(), job("look", model=snapshot))
    assert seen["text"] == "from a blob"
    assert set(seen["files"]) - {"new"} == {"other.txt", "part", "text.txt"}
    assert sorted(path.name for path in snapshot.rglob("*")) == ["other.txt", "part", "text.txt"]


def test_secrets_and_variables_are_in_no_description(open_system, job, client, monkeypatch) -> None:
    value = f"press-{uuid4().hex}"
    monkeypatch.setenv("ACME_TOKEN", value)
    folder = job("wait", secrets=("ACME_TOKEN",))
    system = open_system(environment_variables=["ACME_TOKEN"])
    handle = system.submit(folder)
    container = client.containers.get(handle["container"])
    described = json.dumps(container.attrs)
    again = system.submit(folder)
    (folder / "checkpoint" / "stop").touch()
    system.watch(handle, lambda event: None)
    assert again == handle
    assert value not in described
    assert value not in json.dumps(handle)
    assert found(folder)["token"] == value


def test_an_engine_that_is_restarted_meanwhile_loses_nothing(open_system, job, engine) -> None:
    folder, told = job("wait"), list[Event]()
    system = open_system()
    handle = system.submit(folder)
    watching = threading.Thread(target=lambda: system.watch(handle, told.append))
    watching.start()
    engine.stop()
    wait_until(lambda: any(isinstance(event, Log) and "trying again" in event.message for event in told))
    engine.start()
    wait_until(lambda: any(isinstance(event, Log) and "answers again" in event.message for event in told))
    (folder / "checkpoint" / "stop").touch()
    watching.join(60)
    assert found(folder)["text"] == "one two"
    assert any(isinstance(event, Report) for event in told)


def test_a_container_that_is_killed_is_told_and_removed(open_system, job, client) -> None:
    system = open_system()
    handle = system.submit(job("wait"))
    client.containers.get(handle["container"]).kill()
    with pytest.raises(WorkerDied, match="SIGKILL"):
        system.watch(handle, lambda event: None)
    assert client.containers.list(all=True) == []


def test_what_is_installed_is_asked_once_for_an_image(open_system, tmp_path: Path, monkeypatch) -> None:
    there = open_system().environment(["pydantic>=2", "nobody-has-this"])
    assert set(there.libraries) == {"pydantic"}
    assert there.python.startswith("3.")
    assert len(list((tmp_path / "cache" / "images").iterdir())) == 1
    monkeypatch.setattr(package.models.containers.ContainerCollection, "create", None)
    assert open_system().environment(["Pydantic"]).libraries == {"Pydantic": there.libraries["pydantic"]}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"image_name": "nobody/has-this:1"}, "There is no image 'nobody/has-this:1' on this machine"),
        ({"docker_host": "unix:///nowhere/docker.sock"}, "No Docker engine answers at unix:///nowhere"),
        ({"python": "python9"}, "no Python that runs as 'python9'"),
        ({"network": "no-such-network"}, "no-such-network"),
    ],
)
def test_what_is_not_there_is_told_within_seconds(open_system, job, client, options, told: str) -> None:
    began = time.monotonic()
    with pytest.raises(HostError, match=told):
        open_system(**options).environment(["pydantic"])
    assert time.monotonic() - began < 15
    assert client.containers.list(all=True) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [({"volume": {}}, "Did you mean 'volumes'"), ({"detach": True}, "detach cannot be set")],
)
def test_parameters_that_cannot_be_are_refused(open_system, given, told: str) -> None:
    with pytest.raises(modelpress.api.UserError) as raised:
        open_system(run_params=given)
    assert told in f"{raised.value.message} {raised.value.hint}"


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
