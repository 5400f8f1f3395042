"""What a Ray cluster costs and brings: the overhead of a job, and candidates of a search on two workers."""

from __future__ import annotations

import copy
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import emotions
from harness import Settings, remove, versions
from page import Section, at_least, at_most, number, table

import modelpress
from modelpress.engine.job import Job, ModelInput, Source, ship_code, write_job
from modelpress.fence import Origin
from modelpress.identity import content_identity
from modelpress.registry import Registry
from modelpress.specs import SystemSpec
from modelpress.system import System

NAME = "cluster"
_WORK = "modelpress.testing.sample_work"


def measure(settings: Settings) -> dict[str, Any]:
    folder = settings.fresh(NAME)
    own = {"num_cpus": 2, "max_jobs": 2}
    return {
        "versions": versions(sys.executable, ("modelpress", "ray", "torch")),
        "jobs": {
            "LocalSystem": _jobs("LocalSystem", {}, folder / "local", 3 if settings.quick else 20),
            "Ray": _jobs("Ray", own, folder / "ray", 3 if settings.quick else 20),
        },
        "candidates": {
            "one worker": _search({"type": "LocalSystem"}, folder / "one", settings),
            "two workers of a cluster": _search({"type": "Ray", **own}, folder / "two", settings),
        },
    }


def _jobs(type_name: str, options: Mapping[str, Any], folder: Path, times: int) -> list[float]:
    """Seconds of a job that does next to nothing, its folder laid out, from submit to its answer; warm."""
    registry = Registry.load()
    registered = registry.find(SystemSpec, type_name)
    system = registered.call(registered.spec.open, registered.parse(dict(options)), "place")
    model = folder / "model"
    model.mkdir(parents=True)
    (model / "text.txt").write_text("one two", encoding="utf-8")
    try:
        return [round(_job(system, model, folder / str(i)), 5) for i in range(times + 1)][1:]
    finally:
        system.close()


def _job(system: System, model: Path, folder: Path) -> float:
    started = time.perf_counter()
    job = Job(
        Origin("pass", "shout", "modelpress", "modelpress", "0"), name="shout", run=f"{_WORK}:shout",
        config="modelpress.options:Options", options={}, model=ModelInput("model", "text", "content:1"),
        produces="text", id=uuid4().hex, sources={"model": Source(content_identity(model))},
    )  # fmt: skip
    write_job(folder, job, {"model": model})
    if system.traits.ships_code:
        ship_code(folder, [Path(modelpress.__file__).parent])
    handle = system.submit(folder)
    system.watch(handle, lambda event: None)
    system.collect(handle, ("result.json", "out"), folder)
    if not (folder / "result.json").exists():
        raise SystemExit((folder / "error.json").read_text())
    return time.perf_counter() - started


def _search(system: Mapping[str, Any], folder: Path, settings: Settings) -> dict[str, float]:
    """Eight trainings of one thread each, by their learning rates. Seconds of the whole run, and from the first
    task's begin to the last one's end: what starts a cluster is not the work."""
    document = copy.deepcopy(emotions.unmeasured())
    lora = next(p for p in document["passes"].values() if p["type"] == "LoRA")
    rates = [0.0005 * (i + 1) for i in range(8)]
    lora["training_args"] = {
        **lora["training_args"], "max_steps": 2 if settings.quick else 60, "learning_rate": {"choice": rates},
    }  # fmt: skip
    document.update(
        passes={"lora": lora},
        systems={"place": dict(system)},
        host="place",
        evaluators={"size": {"metrics": [{"name": "size", "type": "size_on_disk"}]}},
        evaluator="size",
        search_strategy={"sampler": "sequential"},
    )
    folder.mkdir(parents=True)
    began = time.monotonic()
    times: list[float] = []
    modelpress.run(
        document,
        cache_dir=folder / "cache",
        output_dir=folder / "output",
        on_event=lambda event: (
            times.append(time.monotonic()) if type(event).__name__ != "RunStarted" else None
        ),
    )
    ended = time.monotonic()
    remove(folder)
    return {"run": round(ended - began, 3), "work": round(times[-1] - times[0], 3)}


def describe(result: Mapping[str, Any], plots: Path) -> Section:
    jobs = {name: statistics.median(times) for name, times in result["jobs"].items()}
    one, two = result["candidates"].values()
    over = jobs["Ray"] - jobs["LocalSystem"]
    rows = [
        (
            "a job that does next to nothing, warm worker",
            number(jobs["LocalSystem"], "ms"),
            number(jobs["Ray"], "ms"),
        ),
        ("eight trainings of one thread, the whole run", number(one["run"], "s"), number(two["run"], "s")),
        ("the same, from the first event to the last", number(one["work"], "s"), number(two["work"], "s")),
    ]
    body = table(("", "one worker of this machine", "a Ray cluster of two processors on it"), rows)
    return Section("A cluster", body, [
        at_most("overhead of a job on Ray over the worker itself, warm", over, 0.3, "s"),
        at_least("eight candidates on two workers of a cluster against one", one["work"] / two["work"], 1.7, "x"),
    ])  # fmt: skip
