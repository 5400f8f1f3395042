"""What a place costs: an empty job on each system, over the worker called directly in the same Python."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from harness import Settings, versions
from page import Section, at_most, number, table

import modelpress
from modelpress.api import Registry, System, SystemSpec
from modelpress.engine.job import Job, ModelInput, ship_code, write_job
from modelpress.fence import Origin
from modelpress.requirements import WORKER_REQUIRES

NAME = "systems"
_WORK = "modelpress.testing.sample_work:count_tries"
_IMAGE = "localhost/modelpress-bench:latest"


def measure(settings: Settings) -> dict[str, Any]:
    folder = settings.fresh(NAME)
    times = 3 if settings.quick else 20
    result = {
        "versions": versions(sys.executable, ("modelpress", "docker", "uv")),
        "direct": [_direct(_job(folder)) for _ in range(times)],
        "environment": _through("PythonEnvironment", {"python_environment_path": sys.prefix}, folder, times),
        "managed": _managed(times),
    }
    if _has_image():
        result["docker"] = _through("Docker", {"image_name": _IMAGE}, folder, times)
    return result


def _job(folder: Path) -> Path:
    """A job that writes two words."""
    model, place = folder / "model", folder / "jobs" / uuid4().hex
    model.mkdir(exist_ok=True)
    place.mkdir(parents=True)
    job = Job(
        Origin("pass", "Empty", "modelpress", "modelpress", "0"), "empty", _WORK, "modelpress.options:Options", {},
        ModelInput("model", "text", "content:1"), produces="text", id=uuid4().hex, requires=WORKER_REQUIRES,
    )  # fmt: skip
    write_job(place, job, {"model": model})
    ship_code(place, [Path(modelpress.__file__).parent])
    return place


def _direct(folder: Path) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "modelpress.worker", str(folder)], check=True, capture_output=True)
    return round(time.perf_counter() - started, 4)


def _through(kind: str, options: Mapping[str, Any], folder: Path, times: int) -> list[float]:
    """Seconds of each job, of one run that has done one before."""
    system = _open(kind, options)
    try:
        system.environment(WORKER_REQUIRES)
        system.prepare(WORKER_REQUIRES, lambda event: None)
        return [_timed(lambda: _do(system, _job(folder))) for _ in range(times + 1)][1:]
    finally:
        system.close()


def _managed(times: int) -> list[float]:
    """Seconds until an environment that was made before is found again, by a run that begins."""

    def find() -> None:
        system = _open("PythonEnvironment", {"managed": True})
        system.environment(WORKER_REQUIRES)
        system.prepare(WORKER_REQUIRES, lambda event: None)
        system.close()

    find()
    return [_timed(find) for _ in range(times)]


def _open(kind: str, options: Mapping[str, Any]) -> System:
    registered = Registry.load().find(SystemSpec, kind)
    return registered.resolve(registered.spec.open)(registered.parse(dict(options)), "place")


def _do(system: System, folder: Path) -> None:
    system.watch(system.submit(folder), lambda event: None)
    if not (folder / "result.json").exists():
        raise SystemExit((folder / "error.json").read_text(encoding="utf-8"))


def _timed(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return round(time.perf_counter() - started, 4)


def _has_image() -> bool:
    """Whether an engine answers that has the image: tests/plugins/docker/host_image.py writes it."""
    try:
        import docker
        from docker.errors import DockerException
    except ImportError:
        return False
    try:
        return bool(docker.from_env(timeout=5).images.get(_IMAGE))
    except DockerException:
        return False


def describe(result: Mapping[str, Any], plots: Path) -> Section:
    direct = statistics.median(result["direct"])
    rows, targets = [("the worker, called directly", number(direct, "s"), "")], []
    for name, title, most in (("environment", "`PythonEnvironment`", 0.5), ("docker", "`Docker`", 1.5)):
        if name in result:
            took = statistics.median(result[name])
            rows.append((title, number(took, "s"), number(took - direct, "s")))
            targets.append(at_most(f"a job on {title}, warm, over the worker", took - direct, most, "s"))
    managed = statistics.median(result["managed"])
    rows.append(("a managed environment, found again", number(managed, "s"), ""))
    targets.append(at_most("a managed environment, second use", managed, 0.2, "s"))
    body = (
        f"{table(('an empty job', 'wall', 'over the worker'), rows)}\n\n"
        f"Medians of {len(result['direct'])}. A `PythonEnvironment` keeps its worker warm; a container is made for each job."
    )
    return Section("Systems", body, targets)
