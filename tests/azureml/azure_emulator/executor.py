"""Runs jobs: inputs are brought, the command is a process in a folder and an environment of its own, which
holds what the job declared and what Azure gives, and nothing of this machine's; outputs go to storage as they
are written, as those of a mount do.

A job that is preempted starts again, on another node: with nothing but its outputs.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azure_emulator.arm import Arm
from azure_emulator.registry import Registries
from azure_emulator.storage import Place
from azure_emulator.web import Refused

_EVERY = 0.25  # seconds between two looks at what a job has written


@dataclass
class JobRun:
    """One job. status: as Azure calls it; error: of a failed one, as its history tells it."""

    name: str
    properties: dict[str, Any]
    outputs: dict[str, Place]
    artifacts: Place
    status: str = "NotStarted"
    error: dict[str, str] | None = None
    logged: bool = False
    starts: int = 0
    process: subprocess.Popen[bytes] | None = None
    cancelled: bool = False
    preempted: bool = False
    history: list[str] = field(default_factory=list)

    def cancel(self) -> None:
        self.cancelled = True
        self._end(signal.SIGTERM)

    def preempt(self) -> None:
        """Take the node away, without a warning."""
        self.preempted = True
        self._end(signal.SIGKILL)

    @property
    def done(self) -> bool:
        return self.status in ("Completed", "Failed", "Canceled")

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, how)


class Executor:
    """environment: what Azure gives each job. slow: seconds between two phases. before: called with a job's
    folder before its command starts: what the machines of this cloud lack is arranged there."""

    def __init__(self, folder: Path, arm: Arm, registries: Registries, environment: dict[str, str]) -> None:
        self._folder, self._arm, self._registries = folder, arm, registries
        self._environment = environment
        self.slow = 0.0
        self.before: Callable[[JobRun, Path], None] = lambda run, folder: None
        self._runs: list[JobRun] = []

    def close(self) -> None:
        for run in self._runs:
            run.cancel()
        end = time.monotonic() + 5
        while any(not run.done for run in self._runs) and time.monotonic() < end:
            time.sleep(0.05)
        for run in self._runs:
            run._end(signal.SIGKILL)

    def run(self, run: JobRun) -> None:
        self._runs.append(run)
        try:
            self._provision(run)
            code = None
            while code is None and not run.cancelled:
                run.preempted = False
                code = self._start(run)
            if run.cancelled:
                self._turn(run, "Canceled")
            elif code == 0:
                self._turn(run, "Completed")
            else:
                self._fail(run, "ExecutionFailed", f"Process 'worker' exited with code {code}.")
        except Refused as refused:
            self._fail(run, "UserError", str(refused))
        except Exception as error:
            self._fail(run, "InternalError", f"{type(error).__name__}: {error}")

    def _fail(self, run: JobRun, code: str, message: str) -> None:
        run.error = {"code": code, "message": message}
        self._turn(run, "Failed")

    def _turn(self, run: JobRun, status: str) -> None:
        run.status = status
        run.history.append(status)
        time.sleep(self.slow)

    def _provision(self, run: JobRun) -> None:
        self._turn(run, "Queued")
        self._turn(run, "Preparing")
        properties = self._arm.assets[_asset_path(run.properties["environmentId"])]
        image, images = properties.get("image"), self._arm.images
        if image and images is not None and image not in images:
            raise Refused(
                400, "UserError", f"Image pull failed: manifest for {image} not found: manifest unknown"
            )
        self._turn(run, "Starting")

    def _start(self, run: JobRun) -> int | None:
        """The exit code; None when the node was taken away."""
        run.starts += 1
        node = self._folder / f"{run.name}-{run.starts}"
        code, outputs = node / "code", node / "outputs"
        for folder in (code, outputs, node / "tmp", node / "home"):
            folder.mkdir(parents=True)
        self._turn(run, "Running")
        if run.properties.get("codeId"):
            properties = self._arm.assets[_asset_path(run.properties["codeId"])]
            self._arm.storage.get(self._arm.asset_place(properties["codeUri"]), code)
        inputs = {name: self._input(given, node / "inputs" / name) for name, given in self._inputs(run)}
        for name, place in run.outputs.items():
            (outputs / name).mkdir()
            self._arm.storage.get(place, outputs / name)  # a mount shows what is there
        command = _substituted(run.properties["command"], inputs, outputs)
        self.before(run, node)
        environment = {
            **self._environment,
            **(run.properties.get("environmentVariables") or {}),
            "AZUREML_RUN_ID": run.name,
            "HOME": str(node / "home"),
            "TMPDIR": str(node / "tmp"),
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
        }
        log = node / "std_log.txt"
        with log.open("wb") as sink:
            run.process = subprocess.Popen(
                ["/bin/sh", "-c", command], cwd=code, env=environment, stdout=sink, stderr=sink,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        sync = _Sync(self._arm, run, outputs, log)
        if run.cancelled:
            run.cancel()
        asked = 0.0
        while run.process.poll() is None:
            sync.turn()
            time.sleep(_EVERY)
            if run.cancelled:
                asked = asked or time.monotonic()
                if time.monotonic() - asked > 5:
                    run._end(signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.process.pid, signal.SIGKILL)  # what it left behind in its group
        if not run.preempted:
            self._turn(run, "Finalizing") if not run.cancelled else None
            sync.turn()
        shutil.rmtree(node, ignore_errors=True)
        if run.preempted and not run.cancelled:
            self._turn(run, "Queued")
            return None
        return run.process.returncode

    def _inputs(self, run: JobRun) -> list[tuple[str, dict[str, str]]]:
        return list((run.properties.get("inputs") or {}).items())

    def _input(self, given: dict[str, str], target: Path) -> str:
        if given["jobInputType"] == "literal":
            return given["value"]
        place = self._place(given["uri"])
        if not self._arm.storage.names(place):
            raise Refused(
                400, "UserError", f"ScriptExecution.StreamAccess.NotFound: no data at {given['uri']}"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        if given["jobInputType"] in ("uri_folder", "custom_model", "mlflow_model"):
            target.mkdir(exist_ok=True)
            self._arm.storage.get(place, target)
            return str(target)
        target.mkdir(exist_ok=True)
        file = target / place.path.rsplit("/", 1)[-1]
        self._arm.storage.get(place, file)
        return str(file)

    def _place(self, address: str) -> Place:
        if found := re.fullmatch(r"azureml:/+registries/([^/]+)/models/(.+)/versions/([^/]+)", address):
            return self._registries.find(found[1], found[2], found[3])
        return self._arm.asset_place(address)


class _Sync:
    """Puts what a job has written into storage, what has changed since the last look alone."""

    def __init__(self, arm: Arm, run: JobRun, outputs: Path, log: Path) -> None:
        self._arm, self._run, self._outputs, self._log = arm, run, outputs, log
        self._seen: dict[Path, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def turn(self) -> None:
        with self._lock:
            if self._changed(self._log):
                self._arm.storage.put(self._run.artifacts.under("user_logs/std_log.txt"), self._log)
                self._run.logged = True
            for name, place in self._run.outputs.items():
                for file in sorted((self._outputs / name).rglob("*"), key=_modified):
                    if file.is_file() and self._changed(file):
                        below = file.relative_to(self._outputs / name).as_posix()
                        with contextlib.suppress(FileNotFoundError):
                            self._arm.storage.put(place.under(below), file)

    def _changed(self, file: Path) -> bool:
        try:
            told = file.stat()
        except FileNotFoundError:
            return False
        now = told.st_size, told.st_mtime_ns
        before = self._seen.get(file)
        self._seen[file] = now
        return now != before


def _modified(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _substituted(command: str, inputs: dict[str, str], outputs: Path) -> str:
    for name, value in inputs.items():
        command = command.replace(f"${{{{inputs.{name}}}}}", value)
    return re.sub(r"\$\{\{outputs\.(\w+)\}\}", lambda found: str(outputs / found[1]), command)


def _asset_path(address: str) -> str:
    """`environments/name/version` of an ARM id."""
    kind, name, _, version = address.removeprefix("azureml:").rstrip("/").split("/")[-4:]
    return f"{kind}/{name}/{version}"
