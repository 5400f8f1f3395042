"""Damage in what is read again; see ABOUT."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from damage import choose, damage
from trials import Broken, Outcome, Trial
from workbench import EXAMPLE, INT4, MEASURED, MERGE, Bench, Ran, data, lora

from modelpress.cli.runs import find_runs
from modelpress.engine import cache_cleaning as cleaning
from modelpress.engine.cache import Cache
from modelpress.errors import Interrupted
from modelpress_plugins.lora import checkpoints
from modelpress_plugins.quantize import layerwise

NAME = "flips"
TITLE = "Damage to what is read again"
ABOUT = """
A workflow (LoRA, merge, 4 bits, measured) has been run, or was interrupted half way. Then one file of its cache is
damaged: one byte (of half of them size and time stay as they were), cut, emptied, replaced by `[]` or by the
content of another file. The same workflow is run again. What must hold: the same bytes and the same numbers as
without damage; that it was damaged is told; nothing that is damaged is left.
"""
COUNT, FEW, LIMIT = 300, 12, 120.0


@dataclass(frozen=True)
class Room:
    """A part of the cache. state: which of the prepared folders it is damaged in; told: whether somebody has
    to hear of it."""

    state: str
    pattern: str
    told: bool = True
    weight: int = 2
    check: Callable[[Bench, Path], str] | None = None


def begin(folder: Path) -> Trial:
    states = {
        "whole": _whole(folder / "whole"),
        "cut": _cut(folder / "cut"),
        "layers": _layers(folder / "layers"),
        "loaded": _loaded(folder / "loaded"),
    }
    expected = {
        "whole": states["whole"].run(),
        "cut": _expected(states["cut"]),
        "layers": _expected(states["layers"]),
        "loaded": _expected(states["loaded"]),
    }

    def trial(chance: Random, place: Path) -> Outcome:
        name = chance.choices(list(ROOMS), [room.weight for room in ROOMS.values()])[0]
        room = ROOMS[name]
        bench = states[room.state].copied(place)
        if name == "digests":
            bench.run()  # those of the copied files, which are other files
        files = sorted(path for path in bench.cache.glob(room.pattern) if path.is_file())
        path, kind = chance.choice(files), choose(chance)
        if not damage(path, kind, chance, [each for each in files if each != path]):
            return Outcome(f"{name}: no change", "nothing to notice")
        return Outcome(f"{name}: {kind}", _judge(bench, room, path, expected[room.state]))

    return trial


def _judge(bench: Bench, room: Room, path: Path, expected: Ran) -> str:
    """What became of a damaged file. Raises Broken when it was used, or nobody was told."""
    where = path.relative_to(bench.cache)
    damaged = path.read_bytes()
    if room.check:
        return room.check(bench, path)
    ran = bench.run(offline=False)  # what was fetched has to be fetched again
    try:
        ran.require_equal(expected)
    except Broken as fault:
        raise Broken(f"{where} was used: {fault}") from None
    told = [text for text in ran.told if "damaged" in text]
    if room.told and not told:
        raise Broken(f"{where}: nobody was told; done were {ran.worked}")
    _require_sound(bench, where)
    healed = not path.exists() or path.read_bytes() != damaged
    if not healed and room.told and "told" not in " ".join(told):
        raise Broken(f"{where} is damaged as before")
    return ("made again" if healed else "not used") + (", told" if told else "")


def _require_sound(bench: Bench, where: Path) -> None:
    cache = Cache(bench.cache)
    wrong = [
        text for entry in cleaning.entries(cache) for text in cleaning.verify(entry)
    ] + cache.damaged_numbers()
    if wrong:
        raise Broken(f"{where}: damage is left: {wrong[0]}")


def _record_is_told(bench: Bench, path: Path) -> str:
    """Records of runs are for people: a damaged one must not be shown as if it were whole."""
    done = bench.finish(LIMIT, "runs", "list", "--cache-dir", str(bench.cache))
    if done.returncode or "Traceback" in done.stderr:
        raise Broken(f"{path.name}: runs list ended with {done.returncode}: {done.stderr}")
    if path.name == "run.json" and any(run.id == path.parent.name for run in find_runs(bench.cache / "runs")):
        raise Broken(f"{path.parent.name} is shown as it was damaged")
    if path.name == "run.json" and "damaged" not in done.stdout + done.stderr:
        raise Broken(f"{path.parent.name} is left out, and nobody is told")
    return "told"


ROOMS = {
    "manifest": Room("whole", "artifacts/*/modelpress.json", weight=4),
    "artifact": Room("whole", "artifacts/*/[!m]*", weight=3),
    "weights": Room("whole", "artifacts/*/model*", weight=3),
    "numbers": Room("whole", "evaluations/*.json", weight=4),
    "history": Room("whole", "history/*"),
    "digests": Room("whole", "digests/*", told=False, weight=1),
    "runs": Room("whole", "runs/*/run.json", check=_record_is_told, weight=1),
    "checkpoint": Room("cut", "jobs/*/checkpoint/*/*", weight=5),
    "told before": Room("cut", "jobs/*/*.jsonl", told=False, weight=1),
    "data": Room("cut", "data/**/*.[!l]*", weight=4),
    "folder of data": Room("loaded", "data/**/*.[!l]*", told=False, weight=3),
    "resource": Room("cut", "resources/**/*", weight=4),
    "layer": Room("layers", "jobs/*/checkpoint/**/*", weight=3),
}


def _whole(folder: Path) -> Bench:
    bench = Bench(folder)
    bench.write({"lora": lora(), "merge": MERGE, "int4": INT4}, **MEASURED)
    bench.run()
    return bench


def _cut(folder: Path) -> Bench:
    """A training on fetched data that was interrupted after its second checkpoint."""
    bench = Bench(folder)
    rows = EXAMPLE / "data" / "emotions.json"
    fetched = {"type": "example_store", "store": str(rows.parent), "name": rows.name}
    bench.write(
        {"lora": lora()}, data_configs=[data(load_dataset_config={"data_files": fetched})], output_dir=None
    )
    return _interrupted(bench, checkpoints)


def _loaded(folder: Path) -> Bench:
    """The same on the files of a folder, which the `datasets` library loads."""
    bench = Bench(folder)
    (folder / "rows").mkdir(parents=True)
    shutil.copy(EXAMPLE / "data" / "emotions.json", folder / "rows")
    load = {"data_name": "json", "data_dir": "rows"}
    bench.write({"lora": lora()}, data_configs=[data(load_dataset_config=load)], output_dir=None)
    return _interrupted(bench, checkpoints)


def _layers(folder: Path) -> Bench:
    """A calibrated quantization that was interrupted after its second layer."""
    bench = Bench(folder)
    passes = {"gptq": {"type": "Gptq", "data_config": "train", "calibration_tokens": 2048}}
    bench.write(passes, output_dir=None)
    return _interrupted(bench, layerwise)


def _interrupted(bench: Bench, module: ModuleType) -> Bench:
    """Run it in this process; Ctrl-C comes when the module has marked two things as finished."""
    real, done = module.mark_finished, []

    def mark(path: Path, *rest: Any) -> None:
        real(path, *rest)
        done.append(path)
        if len(done) == 2:
            raise KeyboardInterrupt

    module.mark_finished = mark
    try:
        bench.run(offline=False)
    except (Interrupted, KeyboardInterrupt):
        return bench
    finally:
        module.mark_finished = real
    raise Broken(f"{bench.folder.name}: the run was done before it was interrupted")


def _expected(bench: Bench) -> Ran:
    """What the interrupted run gives when nothing is damaged."""
    return bench.copied(bench.folder.with_name(f"{bench.folder.name}-done")).run()
