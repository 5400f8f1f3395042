"""The warm worker: a Python process that runs jobs one after another, watched from outside.

System plugins use it too, for any Python on this machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

from modelpress import start
from modelpress.disk import disk_full, has_no_room
from modelpress.engine.environment import worker_environment
from modelpress.engine.job import ErrorRecord, read_job, scrub_job
from modelpress.errors import HostError, ModelpressError, WorkerDied
from modelpress.events import Event, decode_event
from modelpress.machine import refusal
from modelpress.memory import available_memory, out_of_memory_kills, tree_memory
from modelpress.records import from_json
from modelpress.secrets import collect_secrets, look_for, redact
from modelpress.system import Environment

EVENTS = "events.jsonl"
START = Path(start.__file__)
OLDEST = start.OLDEST
_POLL_SECONDS = 0.05
_MEMORY_EVERY = 10
"""Polls between two looks at the worker's memory."""
_END_SECONDS = 5.0


class WarmWorker:
    """`modelpress.worker --serve`, started at the first job and again after it died.

    python:      the command that starts Python, e.g. `[sys.executable]`
    environment: the whole environment of the process; None for what any Python needs
    code:        a folder of packages that the Python may lack, see modelpress.engine.job; None for none
    """

    def __init__(
        self, python: Sequence[str], environment: Mapping[str, str] | None = None, code: Path | None = None
    ) -> None:
        self._python = [*python, str(START)]
        self._environment = child_environment(worker_environment() if environment is None else environment)
        look_for(self._environment)
        self._code = str(code) if code else "-"
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[bytes | None] = queue.Queue()
        self._startup_log: IO[bytes] | None = None
        self._watch = _MemoryWatch(0)

    def libraries(self, names: Sequence[str]) -> Mapping[str, str]:
        """Versions of those distributions that are installed there. Raises HostError."""
        return self.environment(names).libraries

    def environment(self, names: Sequence[str]) -> Environment:
        """The Python, and which of those distributions are installed there. Raises HostError when it does not
        run, or is too old for the worker."""
        try:
            done = subprocess.run(
                [*self._python, "versions", *names], capture_output=True, env=self._environment, timeout=60
            )
            answer = json.loads(done.stdout.decode("utf-8"))
            python, found = str(answer["python"]), {str(k): str(v) for k, v in answer["found"].items()}
            suffixes = tuple(str(suffix) for suffix in answer.get("suffixes", ()))
        except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError) as error:
            raise HostError(
                *refusal(
                    f"{self._python[0]} does not run as a Python", error, "Name a Python of 3.11 or later."
                )
            ) from error
        if tuple(int(part) for part in python.split(".")[:2]) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise HostError(f"{self._python[0]} is Python {python}; the worker needs {oldest} or later.")
        return Environment(libraries=found, python=python, suffixes=suffixes)

    def start(self, folder: Path) -> psutil.Process:
        """Begin with the job in the folder; `wait` for it. Raises HostError when there is no such Python."""
        process = self._ready()
        self._watch = _MemoryWatch(process.pid)
        # ASCII, whatever the path is made of: no locale has a part in what reaches the worker.
        order = {"folder": str(folder.resolve()), "secrets": collect_secrets(read_job(folder).secrets)}
        with contextlib.suppress(BrokenPipeError):  # it has died: `wait` tells how
            if process.stdin is not None:
                process.stdin.write(json.dumps(order).encode("ascii") + b"\n")
                process.stdin.flush()
        return psutil.Process(process.pid)

    def wait(self, folder: Path, tell: Callable[[Event], None]) -> None:
        """Wait for the job that was begun, and tell its events; see modelpress.system.System.watch for what
        is raised. Whatever else is raised meanwhile, KeyboardInterrupt too, ends the process."""
        process, reader = self._process, EventReader(folder / EVENTS, tell)
        try:
            answer = self._wait(reader)
        except BaseException:
            self._end()
            scrub_job(folder)
            raise
        reader.read()
        scrub_job(folder)
        if answer is None:
            code = process.wait() if process else 0
            self._process = None
            if not any((folder / name).exists() for name in ("result.json", "error.json")):
                raise self._death(code, folder)
        elif answer.strip() != b"done":
            raise from_json(ErrorRecord, json.loads(answer)).error()  # it could not be written to the folder

    def run(self, folder: Path, tell: Callable[[Event], None]) -> None:
        """Run the job in the folder to its end."""
        self.start(folder)
        self.wait(folder, tell)

    def close(self) -> None:
        """End the process, gently when it is idle."""
        if self._process and self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._end()
        self._process = None

    def _ready(self) -> subprocess.Popen[bytes]:
        if self._process and self._process.poll() is None:
            return self._process
        # A file of its own: on Windows a job's folder cannot be removed while its log is open.
        self._startup_log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        command = [*self._python, "worker", self._code, "--serve"]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._startup_log,
                env=self._environment,
                # Ctrl-C in a terminal goes to the run alone, which then ends the worker in order.
                start_new_session=os.name == "posix",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        except OSError as error:
            raise HostError(*refusal(f"{command[0]} cannot be started", error)) from error
        self._answers = queue.Queue()
        threading.Thread(target=_read_answers, args=(process, self._answers), daemon=True).start()
        self._process = process
        return process

    def _wait(self, reader: EventReader) -> bytes | None:
        polls = 0
        while True:
            with contextlib.suppress(queue.Empty):
                return self._answers.get(timeout=_POLL_SECONDS)
            reader.read()
            if polls % _MEMORY_EVERY == 0:
                self._watch.look()
            polls += 1

    def _end(self) -> None:
        """Stop the process and all that it started."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(psutil.Error):
            end_family(psutil.Process(process.pid))
        process.wait()

    def _death(self, code: int, folder: Path) -> ModelpressError:
        log = _last_lines(_read_bytes(folder / "log.txt") + self._startup_text())
        if code == 1 and "No module named" in log and "modelpress" in log:
            return HostError(
                f"{self._python[0]} has no modelpress.", "Install modelpress in that environment."
            )
        if has_no_room(folder):
            shutil.rmtree(folder / "out", ignore_errors=True)
            return disk_full(folder, log)
        if code < 0 and -code == getattr(signal, "SIGKILL", 9):
            return WorkerDied(*self._watch.explain_kill())
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return WorkerDied(
            f"The worker process ended with {how} and gave no answer." + (f"\n{log}" if log else ""),
            f"What it printed is in {folder / 'log.txt'}.",
        )

    def _startup_text(self) -> bytes:
        if self._startup_log is None:
            return b""
        self._startup_log.seek(0)
        return self._startup_log.read()


def end_family(process: psutil.Process) -> None:
    """Stop a process and all that it started: gently, then not. Raises psutil.Error when it has gone."""
    family = [*process.children(recursive=True), process]
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for member in family:
            with contextlib.suppress(psutil.Error):
                end(member)
        if not psutil.wait_procs(family, timeout=_END_SECONDS)[1]:
            break


def import_path() -> str:
    """This process's import path, for a child that is to import the same.

    The folder of the script that runs goes to its end: a project's own `tokenizers.py` is not the library.
    A folder in PYTHONPATH keeps its place: it was put there on purpose.
    """
    purpose = {os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path}
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    own = {os.getcwd(), os.path.dirname(os.path.abspath(main))} if main else {os.getcwd()}
    path = [entry for entry in sys.path if entry]
    last = [entry for entry in path if entry in own and entry not in purpose]
    return os.pathsep.join([*(entry for entry in path if entry not in last), *last])


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a Python of ours: nothing is imported from the current folder, by its own children
    neither, and what it reads and writes is UTF-8, whatever the locale says."""
    child = {
        **environment,
        "PYTHONSAFEPATH": "1",
        "PYTHONUTF8": "1",
        "PYTHONIOENCODING": "utf-8:backslashreplace",
    }
    # An empty entry (`export PYTHONPATH=$PYTHONPATH:/x`) stands for the current folder: by accident.
    path = [entry for entry in child.pop("PYTHONPATH", "").split(os.pathsep) if entry]
    return {**child, "PYTHONPATH": os.pathsep.join(path)} if path else child


def _read_answers(process: subprocess.Popen[bytes], answers: queue.Queue[bytes | None]) -> None:
    if process.stdout is not None:
        for line in process.stdout:
            answers.put(line)
    answers.put(None)


class EventReader:
    """Passes on what was appended to events.jsonl since the last look."""

    def __init__(self, path: Path, on_event: Callable[[Event], None]) -> None:
        self._path = path
        self._on_event = on_event
        self._offset = 0

    def read(self) -> None:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return
        whole = data.rfind(b"\n") + 1
        self._offset += whole
        for line in data[:whole].splitlines():
            event = decode_event(redact(line.decode("utf-8", "replace")))
            if event:
                self._on_event(event)


class _MemoryWatch:
    """What the worker's memory was before it died, so that a kill can be explained."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._kills = out_of_memory_kills()
        self._used = 0
        self._free = available_memory()

    def look(self) -> None:
        self._used = max(self._used, tree_memory(self._pid))
        self._free = available_memory()

    def explain_kill(self) -> tuple[str, str]:
        """(message, hint) for an end by SIGKILL."""
        used, free = self._used / 2**30, self._free / 2**30
        memory = f"It last held {used:.1f} GiB, with {free:.1f} GiB left on the machine."
        if out_of_memory_kills() > self._kills:
            cause = "The worker was killed by the system because memory ran out."
        else:
            cause = "The worker was killed (SIGKILL): most often the system does so when memory runs out."
        return (
            f"{cause} {memory}",
            "Use smaller batches, blocks or sequences, or a machine with more memory.",
        )


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _last_lines(text: bytes, count: int = 5) -> str:
    return "\n".join(text.decode("utf-8", "replace").splitlines()[-count:])
