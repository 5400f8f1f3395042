"""Runs the jobs of one submission on a node of a compute target: `python on_node.py JOBS DONE NAME=PATH …`.

Standard library alone: it is carried there beside the jobs, and starts the worker with the code that came
with them. JOBS: layout.json, and for each job a folder with its job.json. DONE: a mounted folder that
outlives the node, with a folder for each job; what is there already is from a node that was taken away.
NAME=PATH: where each input is mounted.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from types import FrameType

_RANKS = ("RANK", "NODE_RANK", "OMPI_COMM_WORLD_RANK")
_ANSWERS = ("result.json", "error.json")
_SECONDS = float(os.environ.get("MODELPRESS_CARRY_SECONDS", "5"))
"""Between two looks at what the worker has told and kept."""


def main(arguments: list[str]) -> int:
    """Exit code 0 when all was done, 1 when a job failed and says why, 3 when the worker died."""
    if any(os.environ.get(name, "0") != "0" for name in _RANKS):
        return 0  # of several nodes the first does it
    jobs, done = Path(arguments[0]), Path(arguments[1])
    mounted = dict(text.split("=", 1) for text in arguments[2:])
    layout = json.loads((jobs / "layout.json").read_text(encoding="utf-8"))
    made: list[Path] = []
    """The folder of each job that is done: `out`, result.json."""
    worker = _Worker()
    for number, told in enumerate(layout):
        job, there = jobs / str(number), done / str(number)
        if (there / "result.json").exists():  # of a node that was taken away meanwhile
            made.append(there)
            continue
        work = Path.cwd() / "modelpress-jobs" / str(number)
        _lay_out(work, job, there)
        _refer(work, "data-folder", work.with_name("data-folder"))
        for name, place in told["inputs"].items():
            path = made[place["made"]] / "out" if "made" in place else Path(mounted[place["input"]])
            _refer(work, name, path / place.get("below", ""))
        with zipfile.ZipFile(mounted[told["code"]]) as archive:
            archive.extractall(work / "code")
        carrier = _Carrier(work, there)
        worker.do(work)
        carrier.finish()
        if not (work / "result.json").exists():
            return 1 if (work / "error.json").exists() else _died(worker)
        made.append(work)
    return worker.end()


def _died(worker: _Worker) -> int:
    print(f"The worker ended without an answer, exit code {worker.end()}.", flush=True)
    return 3


def _lay_out(work: Path, job: Path, there: Path) -> None:
    for name in ("out", "scratch", "inputs", "checkpoint", "../data-folder"):
        (work / name).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(job / "job.json", work / "job.json")
    if (there / "events.jsonl").exists():  # numbers go on where they were
        shutil.copyfile(there / "events.jsonl", work / "events.jsonl")
    for checkpoint in (job / "checkpoint", there / "checkpoint"):
        if checkpoint.is_dir():
            shutil.copytree(checkpoint, work / "checkpoint", dirs_exist_ok=True)


def _refer(work: Path, name: str, path: Path) -> None:
    (work / "inputs" / f"{name}.ref").write_text(str(path), encoding="utf-8")


class _Worker:
    """One worker for all jobs, started with the code of the first that is to be done."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def do(self, work: Path) -> None:
        """Returns when the worker has answered, or is no more."""
        if self._process is None:
            self._process = self._started(work / "code")
        asked = json.loads((work / "job.json").read_text(encoding="utf-8"))
        order = {"folder": str(work), "secrets": _secrets(asked.get("secrets") or [])}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        self._process.stdout.readline()

    def end(self) -> int:
        """Returns the exit code of the worker that has ended."""
        if self._process is None:
            return 0
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait()

    def _started(self, code: Path) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(code), "PYTHONUTF8": "1"}
        if vault := os.environ.get("MODELPRESS_HF_TOKEN_VAULT"):
            environment["HF_TOKEN"] = _from_vault(vault, "hf-token")
        process = subprocess.Popen(
            [sys.executable, "-m", "modelpress.worker", "--serve"],
            env=environment, cwd=code.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

        def end(number: int, frame: FrameType | None) -> None:
            process.send_signal(signal.SIGINT)

        signal.signal(signal.SIGTERM, end)
        return process


def _secrets(names: list[str]) -> dict[str, str]:
    """Of the workspace's key vault: the secret `ACME_TOKEN` is `acme-token` there."""
    vault = os.environ.get("MODELPRESS_VAULT", "")
    return {name: _from_vault(vault, name.lower().replace("_", "-")) for name in names} if vault else {}


def _from_vault(vault: str, name: str) -> str:
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415 - of the node's environment, if asked for
    from azure.keyvault.secrets import SecretClient  # noqa: PLC0415

    return SecretClient(vault, DefaultAzureCredential()).get_secret(name).value or ""


class _Carrier:
    """Carries what the worker tells and keeps to the folder that outlives the node, while it runs."""

    def __init__(self, work: Path, there: Path) -> None:
        self._work, self._there = work, there
        self._seen: dict[Path, tuple[int, int]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def _carry(self) -> None:
        while not self._over.wait(_SECONDS):
            self._turn()

    def _turn(self) -> None:
        self._copy(self._work / "events.jsonl")
        files = [file for file in (self._work / "checkpoint").rglob("*") if file.is_file()]
        # In the order in which they were finished: the mark that a checkpoint is whole comes last.
        for file in sorted(files, key=_modified):
            self._copy(file)
        here = {file.relative_to(self._work) for file in files}
        for old in (self._there / "checkpoint").rglob("*"):
            if old.is_file() and old.relative_to(self._there) not in here:
                old.unlink(missing_ok=True)

    def finish(self) -> None:
        """Carry the rest, the answer last: who sees it knows that all is there."""
        self._over.set()
        self._thread.join()
        self._turn()
        self._copy(self._work / "log.txt")
        if (self._work / "result.json").exists():
            shutil.copytree(self._work / "out", self._there / "out", dirs_exist_ok=True)
        for name in _ANSWERS:
            self._copy(self._work / name)

    def _copy(self, file: Path) -> None:
        try:
            told = file.stat()
            now = told.st_size, told.st_mtime_ns
            if self._seen.get(file) == now:
                return
            target = self._there / file.relative_to(self._work)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
            self._seen[file] = now
        except FileNotFoundError:
            return  # the worker has taken it away


def _modified(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return time.time()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
