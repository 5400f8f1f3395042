"""Run commands as whole processes and tell their wall time and peak memory, each competitor in an
environment of its own.

Peak memory is that of the whole process tree: the largest sum of resident sets seen, looked at every 10 ms,
or the largest high-water mark of any one process where that is more. Runs of rivals take turns (A B A B …),
so that a machine that gets slower slows both. Every run is kept; what is quoted are medians.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent
REPOSITORY = ROOT.parent
WORK = Path(os.environ.get("MODELPRESS_BENCH", ROOT / ".work"))
RESULTS = ROOT / "results"
_LOOK_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Settings:
    """How a benchmark is run.

    runs:  of each contender
    quick: tiny models and one run, to see that the scripts work; its figures mean nothing
    work:  a folder for models and outputs
    """

    runs: int
    quick: bool
    work: Path

    def fresh(self, name: str) -> Path:
        """An empty folder of that name under work."""
        folder = self.work / name
        remove(folder)
        folder.mkdir(parents=True)
        return folder


@dataclass(frozen=True, slots=True)
class Contender:
    """One side of a comparison.

    before: called with the run's number, from 0, ahead of each; not counted (clean-up, a job folder)
    after:  called after each; what it returns is added to what the command told
    memory: whether to look at the memory; not for commands that take less than a second
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[int], object] | None = None
    after: Callable[[], Mapping[str, Any]] | None = None
    memory: bool = True


@dataclass(frozen=True, slots=True)
class Run:
    """One run. seconds: wall; peak: bytes; told: the last line of its output, where that is a JSON object, and
    what `after` gave."""

    seconds: float
    peak: int
    told: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Figures:
    """All runs of one contender, and their medians."""

    name: str
    runs: Sequence[Run]

    @property
    def seconds(self) -> float:
        return statistics.median(run.seconds for run in self.runs)

    @property
    def peak(self) -> float:
        return statistics.median(run.peak for run in self.runs)

    def told(self, key: str) -> float:
        """The median of a number that the command itself told."""
        return statistics.median(float(run.told[key]) for run in self.runs)

    def to_record(self) -> dict[str, Any]:
        return {"name": self.name, "runs": [asdict(run) for run in self.runs]}

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> Figures:
        return Figures(record["name"], [Run(**run) for run in record["runs"]])


def compare(contenders: Sequence[Contender], runs: int, limit: float = 3600) -> list[Figures]:
    """Measure each contender `runs` times in turn. A command that fails ends the benchmark.

    limit: seconds after which a command is ended.
    """
    seen: dict[str, list[Run]] = {c.name: [] for c in contenders}
    for number in range(runs):
        for contender in contenders:
            run = measure(contender, number, limit)
            memory = f", {run.peak / 1e6:.0f} MB" if contender.memory else ""
            print(f"  {contender.name}, run {number + 1}: {run.seconds:.2f} s{memory}", flush=True)
            seen[contender.name].append(run)
    return [Figures(name, measured) for name, measured in seen.items()]


def measure(contender: Contender, number: int = 0, limit: float = 3600) -> Run:
    """One run of one contender. Raises SystemExit, with the end of its output, when it fails."""
    if contender.before:
        contender.before(number)
    # A shell that tells Python to keep no bytecode would have modules compiled at each start.
    plain = {"PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": ""}
    environment = {**os.environ, **plain, **contender.environment}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            contender.command, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        try:
            peak = _watch(process, started + limit) if contender.memory else _wait(process, limit)
        except BaseException:
            _end(process)
            raise
        seconds = time.perf_counter() - started
        output.seek(0)
        text = output.read().strip()
    if process.returncode:
        raise SystemExit(f"{contender.name} failed ({process.returncode}):\n{text[-3000:]}")
    told = {**_told(text), **(contender.after() if contender.after else {})}
    return Run(round(seconds, 4), peak, told)


def _wait(process: subprocess.Popen[bytes], limit: float) -> int:
    process.wait(limit)
    return 0


def _watch(process: subprocess.Popen[bytes], deadline: float) -> int:
    """Wait for the end; the peak in bytes. Raises subprocess.TimeoutExpired after the deadline."""
    peak = 0
    while process.poll() is None:
        resident, mark = _tree_memory(process.pid)
        peak = max(peak, resident, mark)
        if time.perf_counter() > deadline:
            raise subprocess.TimeoutExpired(process.args, deadline)
        time.sleep(_LOOK_SECONDS)
    return peak


def _tree_memory(pid: int, parent: _Member | None = None) -> tuple[int, int]:
    """(resident bytes of the process and all below it, the most that any one of them ever held)."""
    member = _Member.look(pid)
    if member is None or (parent and member.is_fork_of(parent)):
        return 0, 0
    below = [_tree_memory(child, member) for child in _children(pid)]
    return member.resident + sum(resident for resident, _ in below), max(
        [member.mark, *(m for _, m in below)]
    )


def _children(pid: int) -> list[int]:
    """From the kernel's own lists: psutil walks every process of the machine, which takes more time than there
    is between two looks."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            listed = Path(f"/proc/{pid}/task/{thread}/children").read_text(encoding="ascii")
            found += map(int, listed.split())
    except OSError:
        pass  # it has ended meanwhile
    return found


@dataclass(frozen=True, slots=True)
class _Member:
    """A process of the tree. resident: bytes now; mark: the most it ever held."""

    command: bytes
    resident: int
    mark: int

    @staticmethod
    def look(pid: int) -> _Member | None:
        """None when it has gone."""
        try:
            status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return None
        lines = dict(line.split(":", 1) for line in status.splitlines() if line.startswith("Vm"))
        resident, mark = (int(lines.get(name, "0 kB").split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
        return _Member(command, resident, mark)

    def is_fork_of(self, parent: _Member) -> bool:
        """Whether it was forked a moment ago: the memory it seems to hold is still its parent's."""
        return self.command == parent.command and abs(self.resident - parent.resident) < parent.resident / 50


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and all below it."""
    try:
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    except psutil.Error:
        family = []
    for member in family:
        with contextlib.suppress(psutil.Error):
            member.kill()
    process.wait()


def _told(text: str) -> dict[str, Any]:
    last = text.splitlines()[-1] if text else ""
    try:
        value = json.loads(last)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def environment(name: str, requirements: Sequence[str]) -> Path:
    """The Python of a virtual environment with those requirements, made once.

    MODELPRESS_BENCH_PYTHON_<NAME> names one that exists already, and is then used instead.
    """
    given = os.environ.get(f"MODELPRESS_BENCH_PYTHON_{name.upper()}")
    if given:
        return Path(given)
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


def versions(python: Path | str, names: Sequence[str]) -> dict[str, str]:
    """Installed versions of those distributions, in the environment of that Python."""
    code = (
        "import importlib.metadata as m, json;"
        "print(json.dumps({d.metadata['Name']: d.version for d in m.distributions()}))"
    )
    done = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True)
    installed = {name.lower().replace("_", "-"): version for name, version in json.loads(done.stdout).items()}
    return {name: installed[name] for name in names if name in installed}


def remove(path: Path) -> None:
    """Take a file or folder away, if it is there."""
    if path.is_dir():
        subprocess.run(["rm", "-rf", str(path)], check=True)
    else:
        path.unlink(missing_ok=True)
