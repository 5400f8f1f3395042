"""Candidates are done several at once where the systems allow, and the same comes out as one by one."""

from __future__ import annotations

import json
import time
from random import Random
from typing import Any

LENGTH = {"type": "length", "sub_types": [{"name": "length", "priority": 1}]}
NEAR = {"type": "near", "sub_types": [{"name": "near", "priority": 2}]}
CLOCK = {"type": "clock", "sub_types": [{"name": "clock"}]}


def place(jobs: int) -> dict[str, Any]:
    return {"systems": {"here": {"type": "LocalSystem", "max_jobs": jobs}}, "host": "here"}


def record(searched: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((searched.demo.folder / "output" / "run.json").read_text())["search"]
    return found


def test_candidates_are_at_work_together_and_times_are_taken_alone(searched) -> None:
    passes = {
        "base": {"type": "Grow", "text": "n"},
        "grow": {"type": "Grow", "text": {"choice": ["nnnn", "nnn", "nn"]}, "meet": 2},
    }
    searched.write(passes, LENGTH, CLOCK, **place(3))
    done = searched.demo.run()
    assert done.returncode == 0, done.stdout + done.stderr
    candidates = record(searched)["candidates"]
    assert [c["status"] for c in candidates] == ["finished"] * 3, "none goes on before another has begun"
    assert record(searched)["winner"] == 3
    lines = searched.demo.done
    assert lines.count("begin grow n") == 1, "what they share is done once"
    for number, line in enumerate(lines):
        if line == "begin clock":
            assert lines[number + 1] == "end clock", "nothing else is at work"
    cached = [task["cached"] for c in candidates for task in c["tasks"] if task["name"] == "base"]
    assert sorted(cached) == [False, True, True]


def test_what_comes_does_not_depend_on_who_is_faster_nor_on_kills(searched) -> None:
    chance = Random(1)
    texts = [f"{'n' * (1 + (7 * number) % 11)}{number}" for number in range(8)]
    strategy = {"sampler": "tpe", "n_startup_trials": 3, "seed": 3, "max_samples": 6}

    def write(cache: str) -> None:
        passes = {"grow": {"type": "Grow", "text": {"choice": texts}, "seconds": 0.2}}
        searched.write(passes, LENGTH, NEAR, search_strategy=strategy, cache_dir=cache, **place(2))

    write("whole")
    assert searched.demo.run().returncode == 0
    whole = record(searched)
    before = len(searched.demo.done)
    write("killed")
    for _ in range(3):
        started = searched.demo.start()
        time.sleep(chance.uniform(1.5, 4))
        started.kill()
        started.wait()
    assert searched.demo.run().returncode == 0
    found = record(searched)
    assert [c["choices"] for c in found["candidates"]] == [c["choices"] for c in whole["candidates"]]
    assert [c["number"] for c in found["candidates"]] == [1, 2, 3, 4, 5, 6]
    assert found["winner"] == whole["winner"]
    again = sum(line.startswith("end grow") for line in searched.demo.done[before:])
    assert again <= 6 + 2 * 3, "each kill costs no more than the work that it met"
