"""Searches that are killed, meet a full disk, and a metric that gives no number; see ABOUT."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from demo import Demo
from trials import Broken, Outcome, Skipped, Trial
from workbench import model_files, require_plain

from cases.disks import mount, unmount

NAME = "searches"
TITLE = "Searches that meet trouble"
ABOUT = """
A search of 20 candidates, one to three at once, is killed at one to four random moments, or its disk fills up; one
candidate is measured as no number. Then it is run to its end. What must hold: the same candidates in the same order
and the same winner, with the same bytes, as without the trouble; no candidate twice, none lost; what has no number
never ranks best.
"""
COUNT, FEW, LIMIT = 30, 3, 240.0

PLUGIN = '''
"""A metric that gives no number for some texts."""
from modelpress.api import MetricSpec, hookimpl

MODELPRESS_API = 1


@hookimpl
def modelpress_metrics():
    return [MetricSpec(name="letters", summary="How many letters.", run=f"{__name__}:letters",
                       gives={"letters": ("", False)})]


def letters(model, options, ctx):
    text = (model.path / "text.txt").read_text()
    return {"letters": float("nan") if "?" in text else float(len(text))}
'''
_TRIED = 20


def begin(folder: Path) -> Trial:
    if os.name != "posix":
        raise Skipped("there is no SIGKILL")
    whole = Demo(folder / "whole")
    _write(whole, 5)
    whole.run()
    expected = _found(whole)
    model = model_files(whole.output / "model")

    def trial(chance: Random, place: Path) -> Outcome:
        trouble = chance.choice(["killed", "killed", "killed", "killed at once", "a full disk"])
        bench, disk = Demo(place / "work"), place / "disk"
        jobs = chance.randint(1, 3)
        if trouble == "a full disk":
            mount(disk, chance.randint(300, 2500))
            _write(bench, 5, jobs, cache_dir=str(disk / "cache"))
        else:
            _write(bench, 5, jobs)
        try:
            if trouble == "a full disk":
                _fill(bench)
                mount(disk, 100_000, again=True)
            else:
                for _ in range(1 if trouble == "killed at once" else chance.randint(1, 4)):
                    _kill(bench, 0.0 if trouble == "killed at once" else chance.uniform(0.3, 6))
            done = bench.finish(LIMIT)
            require_plain(done.stdout + done.stderr)
            if done.returncode:
                raise Broken(f"the next run ended with {done.returncode}: {done.stderr[-500:]}")
            _require_same(bench, expected, model, jobs)
        finally:
            if disk.exists():
                unmount(disk)
        return Outcome(f"{trouble}, {jobs} at once", "the same winner")

    return trial


def _write(bench: Demo, seed: int, jobs: int = 1, **changes: Any) -> None:
    """Texts of other lengths; one has no number."""
    chance = Random(seed)
    texts = [chr(97 + number) * chance.randint(1, 9) for number in range(22)] + ["?"]
    bench.write(
        {
            "base": {"type": "Append", "text": "base", "seconds": 0.05},
            "step": {"type": "Append", "text": {"choice": texts}, "seconds": 0.05},
        },
        plugins=["campaign_text.py", "campaign_search.py"],
        evaluators={
            "e": {"metrics": [{"type": "letters", "sub_types": [{"name": "letters", "priority": 1}]}]}
        },
        evaluator="e",
        systems={"here": {"type": "LocalSystem", "max_jobs": jobs}},
        host="here",
        search_strategy={"sampler": "random", "max_samples": _TRIED, "seed": seed},
        **changes,
    )
    (bench.folder / "modelpress_plugins" / "campaign_search.py").write_text(PLUGIN, encoding="utf-8")


def _kill(bench: Demo, seconds: float) -> None:
    process = bench.start()
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end and not _journals(bench):
        time.sleep(0.01)
    time.sleep(seconds)
    process.kill()
    process.wait()


def _fill(bench: Demo) -> None:
    first = bench.finish(LIMIT)
    said = " ".join((first.stdout + first.stderr).split())
    require_plain(first.stdout + first.stderr)
    told = any(word in said for word in ("disk is full", "are free", "No space left"))
    if first.returncode and not told:
        raise Broken(f"exit code {first.returncode}, and no word of the disk: {said[-500:]}")


def _journals(bench: Demo) -> list[Path]:
    return [
        *bench.cache.glob("searches/*/candidates.jsonl"),
        *bench.folder.parent.glob("disk/cache/searches/*/*.jsonl"),
    ]


def _found(bench: Demo) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((bench.output / "run.json").read_text(encoding="utf-8"))["search"]
    return found


def _require_same(bench: Demo, expected: dict[str, Any], model: dict[str, str], jobs: int) -> None:
    found = _found(bench)
    choices = [each["choices"] for each in found["candidates"]]
    if choices != [each["choices"] for each in expected["candidates"]]:
        raise Broken(f"other candidates: {choices}")
    if found["winner"] != expected["winner"] or model_files(bench.output / "model") != model:
        raise Broken(f"another winner: {found['winner']}, expected {expected['winner']}")
    (journal,) = _journals(bench)
    lines = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
    told = [line["candidate"] for line in lines if "candidate" in line]
    done = [each["number"] for each in told if each["status"] != "failed"]  # that is tried again at the end
    failed = {each["number"] for each in told} - set(done)
    if sorted([*done, *failed]) != list(range(1, _TRIED + 1)):
        raise Broken(f"candidates were done twice, or are lost: {done}")
    best = next(each for each in found["candidates"] if each["number"] == found["winner"])
    if best["status"] != "finished" or best["metrics"]["letters"] is None:
        raise Broken(f"the winner has no number: {best}")
    with suppress(StopIteration):
        nothing = next(each for each in found["candidates"] if each["choices"]["passes.step.text"] == "?")
        if nothing["status"] != "failed":
            raise Broken(f"what has no number is {nothing['status']}")
