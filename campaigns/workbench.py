"""A workflow over the example's model in a folder of its own: small, with the real parts, in seconds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trials import Broken

import modelpress
from modelpress.artifact import MANIFEST, digest_file
from modelpress.events import Event, Log, StepFinished

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "emotions"
TEXT = "### Text: {phrase}\n### The tone is:\n{tone}"


def data(**changes: Any) -> dict[str, Any]:
    """The example's rows as a data config called `train`."""
    return {
        "name": "train",
        "type": "HuggingfaceContainer",
        "load_dataset_config": {"data_files": str(EXAMPLE / "data" / "emotions.json")},
        "pre_process_data_config": {
            "text_template": TEXT, "max_samples": 48, "max_seq_len": 48, "completion_only": True,
        },
        **changes,
    }  # fmt: skip


def lora(**changes: Any) -> dict[str, Any]:
    """A training of six steps that keeps a checkpoint after each second."""
    arguments = {
        "max_steps": 6, "per_device_train_batch_size": 4, "learning_rate": 1e-3, "logging_steps": 1, "save_steps": 2,
        "save_strategy": "steps",
    }  # fmt: skip
    return {
        "type": "LoRA",
        "r": 4,
        "alpha": 8,
        "train_data_config": "train",
        "training_args": arguments,
        **changes,
    }


MERGE: Mapping[str, Any] = {"type": "MergeAdapterWeights"}
INT4: Mapping[str, Any] = {"type": "ModelBuilder", "precision": "int4"}
MEASURED: Mapping[str, Any] = {
    "evaluators": {
        "e": {"metrics": [{"name": "p", "type": "perplexity", "data_config": "train"}, {"name": "s", "type": "size_on_disk"}]}
    },
    "evaluator": "e",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run gave. files: digests by name; told: its notes and warnings; worked: the tasks that were really done."""

    files: Mapping[str, str]
    metrics: Mapping[str, float]
    told: list[str] = field(default_factory=list)
    worked: list[str] = field(default_factory=list)

    def require_equal(self, expected: Ran) -> None:
        """Raises Broken when the model or its numbers are not those."""
        if self.files != expected.files:
            names = sorted(
                n for n in {*self.files, *expected.files} if self.files.get(n) != expected.files.get(n)
            )
            raise Broken(f"another model came out: {', '.join(names)} differ")
        if self.metrics != expected.metrics:
            raise Broken(f"other numbers came out: {self.metrics}, expected {expected.metrics}")


@dataclass(frozen=True)
class Bench:
    """A folder with workflow.json, `cache` and `output` in it."""

    folder: Path

    @property
    def workflow(self) -> Path:
        return self.folder / "workflow.json"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def output(self) -> Path:
        return self.folder / "output"

    def write(self, passes: Mapping[str, Any], **changes: Any) -> Path:
        """Write the workflow; changes replace top-level keys, None takes one out."""
        document = {
            "input_model": {"type": "HfModel", "model_path": str(EXAMPLE / "model")},
            "data_configs": [data()],
            "passes": dict(passes),
            "cache_dir": "cache",
            "output_dir": "output",
            **changes,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = {key: value for key, value in document.items() if value is not None}
        self.workflow.write_text(json.dumps(kept, indent=1), encoding="utf-8")
        return self.workflow

    def run(self, *, offline: bool = True) -> Ran:
        """Run it in this process, where the libraries are imported already."""
        events: list[Event] = []
        result = modelpress.run(self.workflow, in_process=True, offline=offline, on_event=events.append)
        told = [
            each.message for each in events if isinstance(each, Log) and each.level in ("note", "warning")
        ]
        worked = [each.name for each in events if isinstance(each, StepFinished) and not each.cached]
        return Ran(model_files(result.artifact.path), dict(result.metrics), told, worked)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "modelpress", *(arguments or ("run", str(self.workflow), "--offline"))]

    def finish(self, limit: float, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line, to its end."""
        return subprocess.run(
            self.command(*arguments), cwd=self.folder, env=environment(), capture_output=True, text=True,
            stdin=subprocess.DEVNULL, check=False, timeout=limit,
        )  # fmt: skip

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """The command line, left running; what it says goes to said.txt."""
        with (self.folder / "said.txt").open("ab") as said:
            return subprocess.Popen(
                self.command(*arguments), cwd=self.folder, env=environment(), stdout=said, stderr=said,
                stdin=subprocess.DEVNULL, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )  # fmt: skip

    def copied(self, target: Path) -> Bench:
        """A copy of the whole folder."""
        shutil.copytree(self.folder, target, dirs_exist_ok=True, symlinks=True)
        return Bench(target)


_OF_THE_MAKING = (MANIFEST, "README.md", "history.jsonl")


def model_files(folder: Path) -> dict[str, str]:
    """The digests of a model's files; its manifest and its card, which say when it was made, are left out."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in _OF_THE_MAKING)
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in files}


def environment() -> dict[str, str]:
    """For a command line that nothing of this process's own settings reaches."""
    return {**os.environ, "MODELPRESS_CACHE": os.devnull}


def wait_for(what: Callable[[], bool], process: subprocess.Popen[bytes], limit: float) -> bool:
    """Wait until it is so; False when the process ended before. Raises Broken after the limit."""
    end = time.monotonic() + limit
    while process.poll() is None:
        if what():
            return True
        if time.monotonic() > end:
            process.kill()
            raise Broken(f"nothing came of it in {limit:g} s")
        time.sleep(0.002)
    return what()


def require_plain(text: str) -> None:
    """Raises Broken for an answer that nobody wrote for a user."""
    for word in ("This is a bug", "Traceback (most recent call last)"):
        if word in text:
            raise Broken(f"{word}: {text[-1500:]}")
