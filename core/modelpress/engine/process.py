"""The warm worker: a Python process that runs jobs one after another, watched from outside.

System plugins use it too, for any Python on this machine.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from modelpress.errors import HostError, WorkerDied
from modelpress.events import Event, decode_event
from modelpress.memory import available_memory, out_of_memory_kills, tree_memory

_POLL_SECONDS = 0.05
_MEMORY_EVERY = 10
"""Polls between two looks at the worker's memory."""
_END_SECONDS = 5.0


class WarmWorker:
    """`python -m modelpress.worker --serve`, started at the first job and again after it died.

    python:      the command that starts Python, e.g. `[sys.executable]`
    environment: the whole environment of the process; None for this process's own
    """

    def __init__(self, python: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._command = [*python, "-m", "modelpress.worker", "--serve"]
        self._environment = dict(environment) if environment is not None else None
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._startup_log: Path | None = None

    def run(self, folder: Path, on_event: Callable[[Event], None]) -> None:
        """Run the job in the folder to its end; see modelpress.context.System.run for what is raised."""
        process = self._ready(folder)
        reader = EventReader(folder / "events.jsonl", on_event)
        watch = _MemoryWatch(process.pid)
        try:
            if process.stdin is not None:
                process.stdin.write(f"{folder.resolve()}\n")
                process.stdin.flush()
            answer = self._wait(reader, watch)
        except BrokenPipeError:
            answer = None
        except BaseException:
            self._end()
            raise
        reader.read()
        if answer is None:
            code = process.wait()
            self._process = None
            if not any((folder / name).exists() for name in ("result.json", "error.json")):
                raise self._death(code, watch, folder)

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

    def _ready(self, folder: Path) -> subprocess.Popen[str]:
        if self._process and self._process.poll() is None:
            return self._process
        self._startup_log = folder / "log.txt"
        try:
            with self._startup_log.open("a", encoding="utf-8") as log:
                process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    env=self._environment,
                    # Ctrl-C in a terminal goes to the run alone, which then ends the worker in order.
                    start_new_session=os.name == "posix",
                    creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                )
        except OSError as error:
            raise HostError(f"{self._command[0]} cannot be started: {error}.") from error
        self._answers = queue.Queue()
        threading.Thread(target=_read_answers, args=(process, self._answers), daemon=True).start()
        self._process = process
        return process

    def _wait(self, reader: EventReader, watch: _MemoryWatch) -> str | None:
        polls = 0
        while True:
            with contextlib.suppress(queue.Empty):
                return self._answers.get(timeout=_POLL_SECONDS)
            reader.read()
            if polls % _MEMORY_EVERY == 0:
                watch.look()
            polls += 1

    def _end(self) -> None:
        """Stop the process and all that it started."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        except psutil.Error:
            family = []
        for end in (psutil.Process.terminate, psutil.Process.kill):
            for member in family:
                with contextlib.suppress(psutil.Error):
                    end(member)
            if not psutil.wait_procs(family, timeout=_END_SECONDS)[1]:
                break
        process.wait()

    def _death(self, code: int, watch: _MemoryWatch, folder: Path) -> WorkerDied | HostError:
        log = _last_lines(folder / "log.txt")
        if code == 1 and "No module named" in log and "modelpress" in log:
            return HostError(
                f"{self._command[0]} has no modelpress.", "Install modelpress in that environment."
            )
        if code < 0 and -code == getattr(signal, "SIGKILL", 9):
            return WorkerDied(*watch.explain_kill())
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return WorkerDied(
            f"The worker process ended with {how} and gave no answer." + (f"\n{log}" if log else ""),
            f"What it printed is in {folder / 'log.txt'}.",
        )


def local_python() -> list[str]:
    """The command that starts the Python that runs now."""
    return [sys.executable]


def _read_answers(process: subprocess.Popen[str], answers: queue.Queue[str | None]) -> None:
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
            event = decode_event(line.decode("utf-8", "replace"))
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


def _last_lines(path: Path, count: int = 5) -> str:
    try:
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])
    except OSError:
        return ""
