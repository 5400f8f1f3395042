"""How long modelpress takes before and besides its work: to list, to find everything done, to start a pass."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import emotions
from harness import Contender, Figures, Settings, compare, remove, versions
from page import Section, Target, at_most, number, table
from plots import bars

from modelpress.api import Artifact, WarmWorker
from modelpress.engine.job import Job, ModelInput, write_job
from modelpress.fence import Origin

NAME = "startup"
_RUNS = 15
_HEAVY = ("torch", "transformers", "numpy", "onnx", "onnxruntime", "onnxruntime_genai", "peft", "datasets")
_COMMAND = [str(Path(sys.executable).with_name("modelpress"))]

_PLUGIN = """
from modelpress.api import PassSpec, hookimpl
MODELPRESS_API = 1

@hookimpl
def modelpress_passes():
    return [PassSpec(name="Vendor{0}", summary="A vendor's pass.", accepts=("hf-model",), produces="hf-model",
                     run="vendor{0}.run:run", config="vendor{0}.config:Config")]
"""
_EMPTY = """
from modelpress.api import Options

class Empty(Options):
    pass

def empty(model, options, ctx):
    return ctx.artifact("nothing")
"""
_LOAD = """
import sys
from pathlib import Path
from modelpress.config.load import load_workflow
from modelpress.registry import Registry
load_workflow(Path(sys.argv[1]), Registry.load()).problems.raise_if_any()
"""
_TELL_IMPORTS = f"""
import json, sys
from modelpress.cli import main
try:
    main()
except SystemExit as error:
    assert not error.code, error.code
print(json.dumps({{"heavy": [name for name in {_HEAVY!r} if name in sys.modules]}}))
"""


def measure(settings: Settings) -> dict[str, Any]:
    folder = settings.fresh(NAME)
    runs = 2 if settings.quick else max(_RUNS, settings.runs)
    return {
        "versions": versions(sys.executable, ("modelpress", "pluggy", "click", "pydantic")),
        "startup_runs": runs,
        "listing": [figures.to_record() for figures in compare(_listing(folder), runs)],
        **_cached(folder, runs),
        "empty_pass": _empty_pass(folder, 3 if settings.quick else 40),
    }


def _listing(folder: Path) -> list[Contender]:
    site = _install_plugins(folder / "site", 100)
    bare = [sys.executable, "-c", "import importlib.metadata, pluggy"]
    crowd = {"PYTHONPATH": str(site)}
    listing = [*_COMMAND, "passes", "list"]
    shown = subprocess.run(listing, env={**os.environ, **crowd}, check=True, capture_output=True, text=True)
    if shown.stdout.count("Vendor") != 100:
        raise SystemExit("`passes list` does not show the hundred plugins.")
    return [
        Contender("python, importing pluggy", bare, memory=False),
        Contender("passes list", listing, memory=False),
        Contender("passes list, 100 more plugins", listing, crowd, memory=False),
    ]


def _install_plugins(site: Path, count: int) -> Path:
    for i in range(count):
        info = site / f"vendor{i}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vendor{i}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[modelpress]\nvendor{i} = vendor{i}\n")
        (site / f"vendor{i}.py").write_text(_PLUGIN.format(i))
    return site


def _cached(folder: Path, runs: int) -> dict[str, Any]:
    """The example's three passes, when all of it is in the cache. It was trained for a moment only."""
    document = emotions.example()
    for settings in document["passes"].values():
        if settings["type"] == "LoRA":
            settings["training_args"] = {**settings["training_args"], "max_steps": 5}
    file = folder / "workflow.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    arguments = [
        "run",
        str(file),
        "--cache-dir",
        str(folder / "cache"),
        "--output-dir",
        str(folder / "output"),
    ]
    subprocess.run([*_COMMAND, *arguments], check=True, stdout=subprocess.DEVNULL)
    measured = compare(
        [
            Contender(
                "python, plugins, configuration", [sys.executable, "-c", _LOAD, str(file)], memory=False
            ),
            Contender("run, all of it cached", [*_COMMAND, *arguments], memory=False),
        ],
        runs,
    )
    told = subprocess.run(
        [sys.executable, "-c", _TELL_IMPORTS, *arguments], check=True, capture_output=True, text=True
    )
    remove(folder / "cache")
    return {
        "cached": [figures.to_record() for figures in measured],
        "cached_imports": json.loads(told.stdout.splitlines()[-1])["heavy"],
    }


def _empty_pass(folder: Path, times: int) -> dict[str, list[float]]:
    """Seconds of a pass that does nothing: through a warm worker, with its job folder, and called directly."""
    source, model = folder / "source", folder / "nothing"
    source.mkdir()
    model.mkdir()
    (source / "empty_pass.py").write_text(_EMPTY)
    path = os.pathsep.join([str(source), *(p for p in sys.path if p)])
    worker = WarmWorker([sys.executable], {**os.environ, "PYTHONPATH": path})
    origin = Origin("pass", "Empty", "empty", "empty", "0")
    job = Job(origin, "empty", "empty_pass:empty", "empty_pass:Empty", {},
              ModelInput("model", "nothing", "content:1"), produces="nothing")  # fmt: skip
    through: list[float] = []
    try:
        for number_of in range(times + 1):
            started = time.perf_counter()
            place = folder / "jobs" / str(number_of)
            write_job(place, job, {"model": model})
            worker.run(place, lambda event: None)
            through.append(time.perf_counter() - started)
            if not (place / "result.json").exists():
                raise SystemExit((place / "error.json").read_text())
    finally:
        worker.close()
    return {"worker": [round(s, 5) for s in through[1:]], "direct": [_direct(model) for _ in range(times)]}


def _direct(model: Path) -> float:
    started = time.perf_counter()
    Artifact(model, "nothing", "content:1")
    return round(time.perf_counter() - started, 7)


def describe(result: Mapping[str, Any], plots: Path) -> Section:
    bare, listing, crowded = (Figures.from_record(r).seconds for r in result["listing"])
    floor, cached = (Figures.from_record(r).seconds for r in result["cached"])
    empty = {name: statistics.median(times) for name, times in result["empty_pass"].items()}
    heavy = result["cached_imports"]
    plot = bars(
        plots / "startup.svg",
        "Whole process, wall time",
        {r["name"]: Figures.from_record(r).seconds * 1000 for r in (*result["listing"], *result["cached"])},
        "ms",
        ours=("passes list", "passes list, 100 more plugins", "run, all of it cached"),
    )
    rows = [
        ('`python -c "import importlib.metadata, pluggy"`', number(bare, "ms"), "1x"),
        ("`modelpress passes list`", number(listing, "ms"), number(listing / bare, "x")),
        (
            "`modelpress passes list`, 100 third-party plugins",
            number(crowded, "ms"),
            number(crowded / bare, "x"),
        ),
        ("Python, all plugins, the example's configuration", number(floor, "ms"), number(floor / bare, "x")),
        ("`modelpress run`, three passes, all cached", number(cached, "ms"), number(cached / bare, "x")),
    ]
    body = (
        f"{table(('command', 'wall', 'ratio'), rows)}\n\n{plot}\n\n"
        f"Medians of {result['startup_runs']} runs. An empty pass takes {number(empty['worker'], 'ms')} through the "
        "warm worker, its job folder written and its answer read."
    )
    return Section("Start-up", body, [
        at_most("`passes list`, times bare Python", listing / bare, 1.8, "x"),
        at_most("`passes list` with 100 more plugins, times bare Python", crowded / bare, 3, "x"),
        at_most("a cached run of three passes, beyond start and configuration", cached - floor, 1, "s"),
        Target("a cached run imports no heavy library", "none", ", ".join(heavy) or "none", not heavy),
        at_most("an empty pass through the warm worker, beyond a call", empty["worker"] - empty["direct"], 0.05, "ms"),
    ])  # fmt: skip
