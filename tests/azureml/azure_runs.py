"""Runs of a vendor's small passes on the loopback cloud: here in this process, or as a user starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from azure_emulator import Cloud
from azure_emulator.executor import JobRun

import modelpress
from modelpress.events import Event, Log

T = TypeVar("T")


@dataclass
class Vendor:
    """A folder with a workflow, the vendor's plugin installed for its runs, and their jobs."""

    cloud: Cloud
    folder: Path
    site: Path
    known: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.known = set(self.cloud.jobs.runs)

    def write(self, *texts: str, options: dict[str, Any] | None = None, **changes: Any) -> Path:
        """A chain of stamps with these texts on the system `aml`, whose options may be changed."""
        system = {
            "type": "AzureML",
            "aml_compute": self.cloud.compute,
            "aml_docker_config": {"base_image": "python:3.12"},
            **(options or {}),
        }
        document = {
            "azureml_client": self.cloud.client,
            "input_model": {"type": "TextModel", "model_path": "model"},
            "systems": {"aml": {name: value for name, value in system.items() if value is not None}},
            "host": "aml",
            "target": "aml",
            "passes": {f"p{number}": {"type": "Stamp", "text": text} for number, text in enumerate(texts)},
            "cache_dir": "cache",
            "output_dir": "output",
            **changes,
        }
        file = self.folder / "workflow.json"
        file.write_text(json.dumps(document, indent=1))
        return file

    def run(
        self, see: Callable[[Event], None] = lambda event: None
    ) -> tuple[modelpress.RunResult, list[Event]]:
        """Run it here. see: called with each event while it runs."""
        told: list[Event] = []

        def hear(event: Event) -> None:
            told.append(event)
            see(event)

        return modelpress.run(self.folder / "workflow.json", on_event=hear), told

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it as a user does."""
        path = os.pathsep.join([str(self.site), *filter(None, sys.path)])
        return subprocess.Popen(
            [sys.executable, "-m", "modelpress", "run", str(self.folder / "workflow.json"), *arguments],
            env={**os.environ, "PYTHONPATH": path}, cwd=self.folder, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            # A test suite in the background of a shell has SIGINT ignored, and hands that on.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip

    @property
    def text(self) -> str:
        """What the last run made."""
        return (self.folder / "output" / "model" / "text.txt").read_text(encoding="utf-8")

    @property
    def submitted(self) -> list[JobRun]:
        """The jobs of this cloud that are of these runs."""
        return [run for name, run in self.cloud.jobs.runs.items() if name not in self.known]

    def job(self) -> JobRun:
        """The one that is submitted, as soon as it is."""
        return wait_for(lambda: next(iter(self.submitted), None))


def notes(told: Sequence[Event]) -> str:
    """What was told in words."""
    return "\n".join(event.message for event in told if isinstance(event, Log))


def planted(folder: Path, *secrets: str) -> list[Path]:
    """The files below a folder that hold one of these secrets."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return [file for file in files if any(secret.encode() in file.read_bytes() for secret in secrets)]


def outcome(run: JobRun) -> str:
    """Its status once it has ended: what was asked of a job may be back here while it is finalizing there."""
    wait_for(lambda: run.done)
    return run.status


def wait_for(condition: Callable[[], T | None], seconds: float = 120) -> T:
    """What the condition gives as soon as it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return found
