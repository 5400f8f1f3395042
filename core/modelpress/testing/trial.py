"""One run of a pass or a metric in a process of its own, watched: what it planned, gave, read and wrote.

`run_trial(Order(…), environment)` starts `python -m modelpress.testing.trial_process FILE`, and reads what
it reports.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from modelpress.artifact import Artifact
from modelpress.registry import Registry

TIME_LIMIT = 300
"""Seconds after which a trial is ended and counts as failed."""


class Order(BaseModel):
    """What the process is to do.

    folder:  the job folder
    data:    (file, class) of the contract whose `data` are given, by role
    kill:    whether a first try is to be ended by SIGKILL when half of its work is done
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["pass", "metric"]
    name: str
    options: dict[str, JsonValue]
    model: Artifact
    folder: Path
    data: tuple[str, str]
    kill: bool = False


class Planned(BaseModel):
    """What the plan promised. heavy: modules that it loaded; seconds: of the processor."""

    problems: list[str]
    format: str
    size: int
    config: dict[str, JsonValue]
    meta: dict[str, JsonValue]
    heavy: list[str]
    seconds: float


class Given(BaseModel):
    """What came out. fault: why meta cannot be written as JSON; config: of the model, or of its base."""

    format: str
    size: int
    config: dict[str, JsonValue] | None
    meta: dict[str, JsonValue]
    fault: str
    numbers: dict[str, float]


class Trial(BaseModel):
    """What one run did. error: a traceback, empty when it ended well; killed: whether a first try was, as
    ordered; None when none was ordered.

    progress: how often it said how far it is; opened: formats that it opened with ctx.load
    libraries, variables, written: see Watch
    """

    folder: Path
    planned: Planned | None = None
    given: Given | None = None
    error: str = ""
    killed: bool | None = None
    progress: int = 0
    opened: list[str] = []
    libraries: list[str] = []
    variables: list[str] = []
    written: list[str] = []

    @property
    def out(self) -> Path:
        return self.folder / "out"


@dataclass(frozen=True, slots=True)
class TrialEnvironment:
    """Where a trial runs: folders of its own below `folder`, a hash seed, environment variables on top."""

    folder: Path
    hash_seed: int
    variables: Mapping[str, str]

    @property
    def home(self) -> Path:
        return self.folder / "home of the user"

    @property
    def working_folder(self) -> Path:
        return self.folder / "working folder"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    def environment(self) -> dict[str, str]:
        """Of the process: nothing in it points to this user's caches."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "HF_", "PYTEST_"))}
        temporary = str(self.temporary)
        return {
            **kept,
            "HOME": str(self.home),
            "USERPROFILE": str(self.home),
            **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), temporary),
            "PYTHONHASHSEED": str(self.hash_seed),
            "TZ": "UTC" if self.hash_seed == 1 else "Asia/Tokyo",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUTF8": "1",
            **Registry.load().offline_variables,
            "OMP_WAIT_POLICY": "PASSIVE",
            **self.variables,
        }

    def left_behind(self) -> list[Path]:
        """Files in folders that are nobody's to write to."""
        folders = (self.home, self.working_folder, self.temporary)
        return [path for folder in folders for path in sorted(folder.rglob("*")) if not path.is_dir()]


def run_trial(order: Order, around: TrialEnvironment) -> Trial:
    """Run the order in a fresh process. Raises nothing of what the pass does: it is in the trial."""
    for folder in (around.home, around.working_folder, around.temporary, order.folder):
        folder.mkdir(parents=True, exist_ok=True)
    told = order_file(order.folder)
    told.write_text(order.model_dump_json(), encoding="utf-8")
    report = report_file(order.folder)
    report.unlink(missing_ok=True)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "modelpress.testing.trial_process", str(told)],
            cwd=around.working_folder,
            env=around.environment(),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIME_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Trial(folder=order.folder, error=f"It did not end within {TIME_LIMIT} seconds.")
    if report.exists():
        return Trial.model_validate_json(report.read_bytes())
    return Trial(folder=order.folder, error=f"It ended with {done.returncode}.\n{done.stderr[-4000:]}")


def relocated(artifact: Artifact, folder: Path) -> Artifact:
    """A copy of an artifact, its base too, under other paths. Its files are new ones."""
    shutil.copytree(artifact.path, folder / "model", copy_function=shutil.copyfile)
    base = relocated(artifact.base, folder / "base") if artifact.base else None
    return replace(artifact, path=folder / "model", base=base)


def order_file(folder: Path) -> Path:
    """Where the order of a job folder is kept."""
    return folder.with_name(f"{folder.name}.order.json")


def report_file(folder: Path) -> Path:
    """Where what the process saw is written."""
    return folder.with_name(f"{folder.name}.trial.json")
