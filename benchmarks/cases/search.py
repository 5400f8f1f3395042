"""A search against trying all: the same winner, with how many trials, and what the search itself costs."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import emotions
from harness import Contender, Settings, remove, versions
from harness import measure as measure_once
from page import Section, Target, at_most, number, table

from cases.quality import fine_tune

NAME = "search"
_QUANTIZERS = ("Rtn", "KQuant", "Hqq", "AutoClip")
_SEEDS = 5
_SHARE = 3
"""Of the candidates that there are, one in so many may be built."""


def measure(settings: Settings) -> dict[str, Any]:
    """Try all once; then search with each seed over what is in the cache then, and once with an empty one."""
    folder = settings.fresh(NAME)
    model = fine_tune(folder / "float", 0, settings.quick)
    every = _run(folder / "all", _document(model, settings.quick, prune=False), folder / "cache")
    limit, winner = _best(every)
    goals = _document(model, settings.quick, limit=limit, seeds=True)
    built = len(every["candidates"]) // _SHARE
    seeds = [
        _summary(_run(folder / f"seed-{seed}", _with_seed(goals, seed, built), folder / "cache"), winner)
        for seed in range(1 if settings.quick else _SEEDS)
    ]
    fresh = _run(folder / "fresh", _with_seed(goals, 0, built), folder / "fresh-cache")
    remove(folder)
    return {
        "versions": versions(sys.executable, ("modelpress", "torch", "transformers", "optuna")),
        "all": {"candidates": len(every["candidates"]), "seconds": every["seconds"], "limit": limit},
        "seeds": seeds,
        "fresh": {**_summary(fresh, winner), "own": _own_seconds(fresh)},
    }


def _document(
    model: Path, quick: bool, *, limit: float = 0, seeds: bool = False, prune: bool = True
) -> dict[str, Any]:
    grid = {"group_size": {"choice": [32, 64, 128]}, "sym": {"choice": [True, False]}}
    marks = {"type": "SelectiveMixedPrecision", "algorithm": {"choice": ["k_quant_down", "k_quant_mixed"]}}
    names = _QUANTIZERS[:2] if quick else _QUANTIZERS
    size: dict[str, Any] = {"name": "size_on_disk", "priority": 2}
    accuracy: dict[str, Any] = {"name": "accuracy"}
    if seeds:
        size["goal"] = {"type": "threshold", "value": limit}
        accuracy["goal"] = {"type": "max-degradation", "value": 0.01}
    metrics = [
        {
            "type": "kl_divergence",
            "data_config": "heldout",
            "sub_types": [{"name": "kl_divergence", "priority": 1}],
        },
        {"type": "size_on_disk", "sub_types": [size]},
        {"type": "accuracy", "data_config": "heldout", "sub_types": [accuracy]},
    ]
    return {
        "input_model": {"type": "HfModel", "model_path": str(model)},
        "data_configs": [emotions.data_config("heldout")],
        "passes": {"mixed": [None, marks], "quantize": [{"type": name, **grid} for name in names]},
        "evaluators": {"e": {"metrics": metrics}},
        "evaluator": "e",
        "evaluate_input_model": True,
        "search_strategy": {"sampler": "sequential", "prune": prune},
    }


def _with_seed(document: Mapping[str, Any], seed: int, built: int) -> dict[str, Any]:
    return {**document, "search_strategy": {"sampler": "tpe", "seed": seed, "max_iter": built}}


def _run(place: Path, document: Mapping[str, Any], cache: Path) -> dict[str, Any]:
    """The record of the search, with the wall time of the whole command as `seconds`."""
    place.mkdir(parents=True)
    file = place / "workflow.json"
    file.write_text(json.dumps(document, indent=1), encoding="utf-8")
    command = [sys.executable, "-m", "modelpress", "run", str(file), "--offline", "--cache-dir", str(cache),
               "--output-dir", str(place / "output")]  # fmt: skip
    began = time.monotonic()
    measure_once(Contender(place.name, command, memory=False))
    seconds = round(time.monotonic() - began, 3)
    record = json.loads((place / "output" / "run.json").read_text(encoding="utf-8"))
    print(f"  {place.name}: {len(record['search']['candidates'])} candidates, {seconds:.1f} s", flush=True)
    return {**record["search"], "seconds": seconds, "input_metrics": record["input_metrics"]}


def _best(every: Mapping[str, Any]) -> tuple[float, dict[str, Any]]:
    """(the median of all sizes, what is open in the nearest to the input model of those that are no larger
    and lose a point of accuracy at most)."""
    whole = [each for each in every["candidates"] if each["status"] == "finished"]
    sizes = sorted(each["metrics"]["size_on_disk"] for each in whole)
    limit = float(sizes[len(sizes) // 2])
    least = every["input_metrics"]["accuracy"] - 0.01
    fit = [
        each["metrics"] | {"choices": each["choices"]}
        for each in whole
        if each["metrics"]["size_on_disk"] <= limit and each["metrics"]["accuracy"] >= least
    ]
    chosen = min(fit, key=lambda each: (each["kl_divergence"], each["size_on_disk"]))
    return limit, dict(chosen["choices"])


def _summary(search: Mapping[str, Any], winner: Mapping[str, Any]) -> dict[str, Any]:
    candidates = search["candidates"]
    done = Counter(task["key"] for each in candidates for task in each["tasks"] if not task["cached"])
    best = next(each["choices"] for each in candidates if each["number"] == search["winner"])
    return {
        "seed": search["seed"],
        "proposed": len(candidates),
        "built": sum(bool(each["tasks"]) for each in candidates),
        "same": best == dict(winner),
        "repeated": sum(count - 1 for count in done.values()),
        "seconds": search["seconds"],
    }


def _own_seconds(search: Mapping[str, Any]) -> float:
    """What a candidate takes beside passes and metrics: planning, jobs, cache, records; the median."""
    own = sorted(
        each["seconds"] - sum(task["seconds"] for task in each["tasks"] if not task["cached"])
        for each in search["candidates"]
        if each["status"] == "finished"
    )
    return float(own[len(own) // 2])


def describe(result: Mapping[str, Any], plots: Path) -> Section:
    every, seeds, fresh = result["all"], result["seeds"], result["fresh"]
    rows = [
        (
            "all of them",
            str(every["candidates"]),
            str(every["candidates"]),
            "–",
            number(every["seconds"], "s"),
        )
    ]
    rows += [_row(f"seed {each['seed']}", each) for each in seeds]
    rows.append(_row("seed 0, nothing in the cache", fresh))
    body = (
        "The example model, fine-tuned: four quantizers, three block sizes, symmetric or not, with more bits for some "
        "modules in one of two ways or not. Wanted is the least divergence, with a size up to the median of all "
        "candidates and an accuracy of at most a point less than the float model's. One in three candidates may be "
        "built. Searches with seeds find what was built before in the cache.\n\n"
        f"{table(('', 'proposed', 'built', 'same winner', 'wall'), rows)}"
    )
    return Section("A search against trying all", body, [
        _all_same(seeds),
        at_most("built by a search, of all candidates", max(e["built"] for e in seeds) / every["candidates"], 1 / _SHARE, "%"),
        at_most("steps that a search repeats", fresh["repeated"], 0),
        at_most("what a candidate costs beside passes and metrics", fresh["own"], 0.1, "ms"),
    ])  # fmt: skip


def _all_same(seeds: Sequence[Mapping[str, Any]]) -> Target:
    same = sum(each["same"] for each in seeds)
    return Target("seeds with the winner of trying all", str(len(seeds)), str(same), same == len(seeds))


def _row(name: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    same = "yes" if found["same"] else "no"
    return name, str(found["proposed"]), str(found["built"]), same, number(found["seconds"], "s")
