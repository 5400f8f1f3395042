"""Runs that are killed; see ABOUT."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import psutil
from demo import Demo, steps
from trials import Broken, Outcome, Skipped, Trial
from workbench import MERGE, Bench, lora, model_files, require_plain

from modelpress.engine import cache_cleaning as cleaning
from modelpress.engine.cache import Cache

NAME = "kills"
TITLE = "Runs that are killed"
ABOUT = """
A run is ended at a random moment, or as soon as it writes a checkpoint, commits to the cache or exports: the command
by SIGKILL, its worker, or both; by Ctrl-C, pressed once or twice; by SIGTERM. Sometimes the next try is killed, too.
Then it is run to its end. What must hold: the same bytes as without a kill; no copy, no part of a file, no folder
of a job and no process is left; Ctrl-C ends with exit code 130 and no traceback.
"""
COUNT, FEW, LIMIT = 120, 6, 240.0

_SIGNS = (
    "output/.*.modelpress-*",
    "cache/jobs/*/checkpoint/*",
    "cache/jobs/*/result.json",
    "cache/artifacts/*",
)
_ENDS = ("the command", "its worker", "both", "Ctrl-C", "Ctrl-C twice", "SIGTERM")


def begin(folder: Path) -> Trial:
    if os.name != "posix":
        raise Skipped("there is no SIGKILL")
    kinds: dict[str, Bench] = {
        "small passes": Demo(folder / "demo"),
        "a training": Bench(folder / "training"),
    }
    for name, bench in kinds.items():
        _write(name, bench)
        bench.run()
    whole = {name: model_files(bench.output / "model") for name, bench in kinds.items()}

    def trial(chance: Random, place: Path) -> Outcome:
        kind = "a training" if chance.random() < 0.1 else "small passes"
        bench = Demo(place) if kind == "small passes" else Bench(place)
        _write(kind, bench)
        end = chance.choice(_ENDS)
        for _ in range(2 if chance.random() < 0.3 else 1):
            _end(bench, end, chance)
        done = bench.finish(LIMIT)
        require_plain(done.stdout + done.stderr)
        if done.returncode:
            raise Broken(f"the next run ended with {done.returncode}: {done.stderr[-500:]}")
        found = model_files(bench.output / "model")
        if found != whole[kind]:
            raise Broken(f"another model came out: {found}, expected {whole[kind]}")
        _require_tidy(bench)
        return Outcome(f"{kind}, {end}", "the same bytes, nothing left")

    return trial


def _write(kind: str, bench: Bench) -> None:
    if kind == "small passes":
        bench.write(steps("a", "b", "c", pieces=3, seconds=0.05))
    else:
        bench.write({"lora": lora(), "merge": MERGE})


def _end(bench: Bench, how: str, chance: Random) -> None:
    """Start a run and end it somewhere. Raises Broken where it does not take it as it should."""
    process = bench.start()
    sign = chance.choice(_SIGNS) if chance.random() < 0.5 else ""
    moment = time.monotonic() + chance.uniform(0.05, 2.5)
    end = time.monotonic() + LIMIT / 3
    while process.poll() is None and time.monotonic() < end:
        if any(bench.folder.glob(sign)) if sign else time.monotonic() > moment:
            break
        time.sleep(0.001)
    workers = _children(process)
    if how in ("its worker", "both"):
        for worker in workers:
            with suppress(psutil.Error):
                worker.kill()
    sent = {"the command": signal.SIGKILL, "both": signal.SIGKILL, "SIGTERM": signal.SIGTERM}.get(how)
    if how.startswith("Ctrl-C"):
        sent = signal.SIGINT
    with suppress(ProcessLookupError):
        if sent:
            process.send_signal(sent)
        if how == "Ctrl-C twice":
            time.sleep(chance.uniform(0, 0.3))
            process.send_signal(signal.SIGINT)
    try:
        code = process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise Broken(f"after {how} it went on for a minute") from None
    said = (bench.folder / "said.txt").read_text(encoding="utf-8", errors="replace")
    (bench.folder / "said.txt").unlink()
    require_plain(said)
    if how.startswith("Ctrl-C") and code not in (0, 130):
        raise Broken(f"after {how} the exit code was {code}: {said[-500:]}")
    _, alive = psutil.wait_procs(workers, timeout=20)
    if alive:
        raise Broken(f"after {how} the worker {alive[0].pid} lives on")


def _children(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.Error:
        return []


def _require_tidy(bench: Bench) -> None:
    """Raises Broken for anything that a killed run left."""
    shown = {path.name for path in bench.output.iterdir()}
    left = [
        str(path)
        for name in ("jobs/*", "trash/*", "**/*.part", "artifacts/*/*.part")
        for path in bench.cache.glob(name)
    ]
    if shown != {"model", "run.json"} or left:
        raise Broken(f"left over: {sorted(shown - {'model', 'run.json'})} {left[:5]}")
    cache = Cache(bench.cache)
    if wrong := [text for entry in cleaning.entries(cache) for text in cleaning.verify(entry)]:
        raise Broken(f"the cache is damaged: {wrong[0]}")
