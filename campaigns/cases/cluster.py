"""A Ray cluster of two machines whose parts are killed; see ABOUT."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import psutil
from demo import Demo, steps
from trials import Broken, Outcome, Skipped, Trial
from workbench import model_files, require_plain

NAME = "cluster"
TITLE = "A Ray cluster, parts of which are killed"
ABOUT = """
A workflow runs on a cluster of two nodes on this machine. At a random moment one part is ended by SIGKILL: the
command, the process of a job, the actor that keeps it, the desk that hands out the jobs, or a whole node, in whose
place a fresh one comes. Where the run did not come to its end by itself, the same command is given again. What must
hold: the same bytes as without a kill; nothing is done by two at once; no worker is left.
"""
COUNT, FEW, LIMIT = 50, 2, 240.0
_ENDS = ("the command", "the job", "its actor", "the desk", "a node")


class _Cluster:
    """A head node, and a second one that may go and come."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self._made = Cluster(initialize_head=True, head_node_args=self._facts())
        self._second = self._made.add_node(**self._facts())
        self.address = str(self._made.address)

    def _facts(self) -> dict[str, Any]:
        return {"num_cpus": 1, "include_dashboard": False}

    def lose_node(self) -> None:
        self._made.remove_node(self._second, allow_graceful=False)
        self._second = self._made.add_node(**self._facts())


def begin(folder: Path) -> Trial:
    if os.name != "posix" or find_spec("ray") is None:
        raise Skipped("ray is not installed here")
    os.environ.update(
        RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32), RAY_USAGE_STATS_ENABLED="0",
        RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
        # a node counts as dead after seconds, not half a minute
        RAY_health_check_period_ms="1000", RAY_health_check_failure_threshold="3",
    )  # fmt: skip
    cluster = _Cluster()
    systems = {"ray": {"type": "Ray", "address": cluster.address, "retries": 3}}
    whole = Demo(folder / "demo")
    _write(whole, {})
    whole.run()
    expected = model_files(whole.output / "model")

    def trial(chance: Random, place: Path) -> Outcome:
        bench = Demo(place)
        _write(bench, {"systems": systems, "host": "ray"})
        end = chance.choice(_ENDS)
        process = bench.start()
        _wait_for_work(bench, process, chance)
        _kill(end, process, cluster)
        try:
            code = process.wait(LIMIT / 2)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Broken(f"after {end} was killed the run went on for {LIMIT / 2:g} s") from None
        said = (bench.folder / "said.txt").read_text(encoding="utf-8", errors="replace")
        require_plain(said)
        how = "the same run came to its end" if code == 0 else "the next run came to its end"
        if code:
            done = bench.finish(LIMIT / 2)
            require_plain(done.stdout + done.stderr)
            if done.returncode:
                raise Broken(f"the next run ended with {done.returncode}: {done.stderr[-500:]}")
        if (found := model_files(bench.output / "model")) != expected:
            raise Broken(f"another model came out: {found}, expected {expected}")
        if twice := _twice(bench):
            raise Broken(f"done twice: {twice}")
        _require_no_worker()
        return Outcome(end, how)

    return trial


def _write(bench: Demo, changes: dict[str, Any]) -> None:
    bench.write(steps("a", "b", "c", pieces=4, seconds=0.3), **changes)


def _wait_for_work(bench: Demo, process: subprocess.Popen[bytes], chance: Random) -> None:
    """Until the first job is at work, and a random time longer."""
    end = time.monotonic() + LIMIT / 3
    while process.poll() is None and not any(bench.cache.glob("jobs/*/events.jsonl")):
        if time.monotonic() > end:
            raise Broken("no job began")
        time.sleep(0.01)
    time.sleep(chance.uniform(0, 4))


def _kill(end: str, process: subprocess.Popen[bytes], cluster: _Cluster) -> None:
    if end == "a node":
        cluster.lose_node()
        return
    victims = {
        "the command": [psutil.Process(process.pid)] if process.poll() is None else [],
        "the job": _jobs(),
        "its actor": _named("ray::NodeWorker"),
        "the desk": _named("ray::Desk"),
    }[end]
    for victim in victims:
        with suppress(psutil.Error):
            victim.send_signal(signal.SIGKILL)


def _named(title: str) -> list[psutil.Process]:
    return [each for each in _all() if _command(each).startswith(title)]


def _jobs() -> list[psutil.Process]:
    """Worker processes below actors: of this campaign, since it started the cluster."""
    found = []
    for actor in _named("ray::NodeWorker"):
        with suppress(psutil.Error):
            found += actor.children(recursive=True)
    return found


def _all() -> list[psutil.Process]:
    """What this campaign has started, and what came of it."""
    return psutil.Process().children(recursive=True)


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _twice(bench: Demo) -> list[str]:
    """Tries of a job that were begun, whose folder is left, or that have told a number twice: two at once."""
    wrong = [f"{path.name[:12]} is left" for path in bench.cache.glob("jobs/*")]
    for history in bench.cache.glob("history/*.jsonl"):
        numbers = [json.loads(line).get("number") for line in history.read_text().splitlines()]
        told = [number for number in numbers if number]
        if len(told) != len(set(told)):
            wrong.append(f"{history.stem[:12]} was told twice")
    return wrong


def _require_no_worker() -> None:
    end = time.monotonic() + 60
    while _named("ray::NodeWorker"):
        if time.monotonic() > end:
            raise Broken("a worker is left a minute after the run")
        time.sleep(0.2)
