"""Run commands as whole processes and tell their wall time and peak memory, each competitor in an
environment of its own.

Peak memory is that of the whole process tree: the largest sum of resident sets seen, looked at every 10 ms,
or the largest high-water mark of any one process where that is more. Runs of rivals take turns (A B A B …),
so that a machine that gets slower slows both; figures are medians.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent
WORK = Path(os.environ.get("MODELPRESS_BENCH", ROOT / ".work"))
RESULTS = ROOT / "results"
_LOOK_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Contender:
    """One side of a comparison. before: run ahead of each measured run, not counted (clean-up)."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    before: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over the runs of one contender. seconds: wall; peak: bytes; output: last run's last line."""

    name: str
    seconds: float
    peak: int
    runs: int
    spread: tuple[float, float]
    output: str


def compare(contenders: Sequence[Contender], runs: int = 3, limit: float = 1800) -> list[Figures]:
    """Measure each contender `runs` times in turn. A command that fails ends the benchmark."""
    seen: dict[str, list[tuple[float, int, str]]] = {c.name: [] for c in contenders}
    for number in range(runs):
        for contender in contenders:
            if contender.before:
                subprocess.run(contender.before, check=True)
            figures = measure(contender, limit)
            print(f"  {contender.name} run {number + 1}: {figures[0]:.2f} s, {figures[1] / 1e6:.0f} MB", flush=True)
            seen[contender.name].append(figures)
    return [_figures(name, measured) for name, measured in seen.items()]


def measure(contender: Contender, limit: float = 1800) -> tuple[float, int, str]:
    """(seconds, peak bytes, last line of output) of one run."""
    environment = {**os.environ, "PYTHONPATH": "", **contender.environment}
    log = WORK / "last.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    with log.open("w+", encoding="utf-8") as file:
        process = psutil.Popen(list(contender.command), stdout=file, stderr=subprocess.STDOUT, env=environment)
        peak = 0
        while process.poll() is None:
            peak = max(peak, _tree_memory(process))
            if time.perf_counter() - started > limit:
                process.kill()
            time.sleep(_LOOK_SECONDS)
        seconds = time.perf_counter() - started
        file.seek(0)
        text = file.read().strip()
    if process.returncode:
        raise SystemExit(f"{contender.name} failed ({process.returncode}):\n{text[-3000:]}")
    return seconds, peak, text.splitlines()[-1] if text else ""


def _tree_memory(process: psutil.Popen) -> int:
    total = mark = 0
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    for member in family:
        try:
            total += member.memory_info().rss
            mark = max(mark, _high_water_mark(member.pid))
        except (psutil.Error, OSError):
            continue
    return max(total, mark)


def _high_water_mark(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _figures(name: str, measured: Sequence[tuple[float, int, str]]) -> Figures:
    times = [m[0] for m in measured]
    return Figures(
        name=name,
        seconds=round(statistics.median(times), 3),
        peak=int(statistics.median(m[1] for m in measured)),
        runs=len(measured),
        spread=(round(min(times), 3), round(max(times), 3)),
        output=measured[-1][2],
    )


def environment(name: str, requirements: Sequence[str]) -> Path:
    """The Python of a virtual environment with those requirements, made once."""
    folder = WORK / "environments" / name
    python = folder / "bin" / "python"
    stamp = folder / "requirements.txt"
    wanted = "\n".join(requirements) + "\n"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        print(f"making the environment {name}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *requirements], check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return python


def save(name: str, document: Mapping[str, Any]) -> None:
    """Keep a benchmark's result with the machine it was measured on."""
    RESULTS.mkdir(exist_ok=True)
    machine = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine, **document}, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {path.relative_to(ROOT.parent)}", flush=True)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
