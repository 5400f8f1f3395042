"""What docs/scale.md computes with: parts of modelpress measured alone, and what they add up to.

python benchmarks/scale.py

No machine here has 64 workers or 405 B parameters. The parts that would be the limit are the real ones: the
scheduler does a thousand pieces of work that take no time, the shared cache serves a folder. What networks,
disks and storage services bear is assumed, in ASSUMED.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from modelpress.artifact import Artifact
from modelpress.config.workflow import SharedPlace
from modelpress.engine.cache import Cache
from modelpress.engine.job import Result
from modelpress.engine.scheduler import Scheduler, Slots, Work
from modelpress.engine.shared_cache import SharedCache
from modelpress.records import to_json

RESULTS = Path(__file__).resolve().parent / "results"
CANDIDATES, WORKERS, USERS = 1000, 64, 100
ASSUMED = {
    "training of a candidate, s": 1200.0,
    "object storage, requests a second under one prefix": 3500.0,
    "object storage, GB a second in all": 12.5,
    "network of a machine, GB a second": 1.25,
    "model, GB": 16.0,
    "disk of a node, GB a second": 1.0,
    "405 B in bfloat16, GB": 811.0,
}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="modelpress-scale-") as folder:
        scheduling = cpu_seconds(lambda: _schedule()) / CANDIDATES
        finding, uploading = _shared(Path(folder))
    merge = json.loads((RESULTS / "merge.json").read_text())
    alone = next(f for f in merge["figures"] if f["name"] == "modelpress, the pass")["runs"]
    work = sorted(run["told"]["seconds"] for run in alone)[len(alone) // 2]
    told = {
        "CPU of the scheduler, ms a candidate": scheduling * 1000,
        "CPU of a look into the shared cache, ms": finding * 1000,
        "CPU of an upload of a small result, ms": uploading * 1000,
        "1,000 candidates on 64 workers, hours": CANDIDATES
        / WORKERS
        * ASSUMED["training of a candidate, s"]
        / 3600,
        "candidates a second that the scheduler bears": 1 / scheduling,
        "100 users fetch the model at once, s": USERS
        * ASSUMED["model, GB"]
        / ASSUMED["object storage, GB a second in all"],
        "the same by one user, s": ASSUMED["model, GB"] / ASSUMED["network of a machine, GB a second"],
        "steps a second that 3,500 requests bear": ASSUMED[
            "object storage, requests a second under one prefix"
        ]
        / 8,
        "merge, GB a second as measured": merge["parameters"] * 2 / 1e9 / work,
        "merge, peak MB as measured": max(run["peak"] for run in alone) / 1e6,
        "merge of 405 B at that speed, min": ASSUMED["405 B in bfloat16, GB"]
        / (merge["parameters"] * 2 / 1e9 / work)
        / 60,
        "merge of 405 B by the disk, min": 2
        * ASSUMED["405 B in bfloat16, GB"]
        / ASSUMED["disk of a node, GB a second"]
        / 60,
        "merge of 405 B, GB of disk": 2 * ASSUMED["405 B in bfloat16, GB"],
    }
    for what, number in {**ASSUMED, **told}.items():
        print(f"{what:60} {number:,.3g}")


def _schedule() -> None:
    """A thousand candidates of two tasks each, the second after the first, that take no time."""
    with Scheduler[None](lambda place: Slots(WORKERS, place), lambda event: None) as scheduler:
        waiting = iter(range(CANDIDATES))
        for number in list(zip(range(2 * WORKERS), waiting, strict=False)):
            _add(scheduler, number[1])
        for ended in scheduler.ended():
            if ended.work.after and (number_of := next(waiting, None)) is not None:
                _add(scheduler, number_of)  # as a search does: one comes when one has ended


def _add(scheduler: Scheduler[None], number: int) -> None:
    scheduler.add(Work(f"train {number}", "ray", lambda tell: None))
    scheduler.add(Work(f"measure {number}", "ray", lambda tell: None, after=(f"train {number}",)))


def _shared(folder: Path, results: int = 50) -> tuple[float, float]:
    """CPU seconds of a look and of an upload, of results of one small file."""
    place = SharedPlace(f"file://{folder / 'shared'}")
    one, two = Cache(folder / "one"), Cache(folder / "two")
    model = Artifact(folder, "text", "content:1")
    for number in range(results):
        out = folder / f"out-{number}"
        out.mkdir()
        (out / "text.txt").write_text(str(number))
        made = replace(model, path=out, key=f"{number:064x}")
        one.commit(out, made, to_json(Result(format="text")))
    giving = SharedCache(place, one)
    giving.open(lambda event: None)

    def upload() -> None:
        for number in range(results):
            giving.offer(f"{number:064x}")
        giving.close(lambda event: None)

    uploading = cpu_seconds(upload) / results
    taking = SharedCache(place, two)
    taking.open(lambda event: None)
    found: list[object] = []
    finding = (
        cpu_seconds(lambda: found.extend(taking.find(f"{n:064x}", model) for n in range(results))) / results
    )
    if not all(found):
        raise SystemExit("What was uploaded was not found.")
    return finding, uploading


def cpu_seconds(do: Callable[[], None]) -> float:
    """Of this process, whatever else the machine does."""
    began = time.process_time()
    do()
    return time.process_time() - began


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
