"""Real runs of the embedded example, made once and looked at by many tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]
EMOTIONS = ROOT / "examples" / "emotions"


def modelpress(
    *arguments: str | Path, environment: Mapping[str, str] | None = None, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "modelpress", *map(str, arguments)],
        env={**os.environ, **(environment or {})}, cwd=ROOT, input=stdin or "",
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip


@pytest.fixture(scope="session")
def cli() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Call it with the arguments of a command line; see `modelpress` above."""
    return modelpress


@pytest.fixture(scope="session")
def emotions() -> Path:
    """The folder of the embedded example."""
    return EMOTIONS


@dataclass(frozen=True)
class Finished:
    """A finished run: what it printed, where its output and cache are."""

    text: str
    output: Path
    cache: Path

    @property
    def record(self) -> dict:
        return json.loads((self.output / "run.json").read_text())


@pytest.fixture(scope="session")
def emotions_run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The example's own workflow, run once from the command line, whichever process of the tests is first."""
    temporary = tmp_path_factory.getbasetemp()
    folder = (temporary.parent if "PYTEST_XDIST_WORKER" in os.environ else temporary) / "emotions"
    said = folder / "said.txt"
    with FileLock(f"{folder}.lock"):
        if not said.exists():
            done = modelpress(
                "run", EMOTIONS / "workflow.yaml",
                "--cache-dir", folder / "cache", "--output-dir", folder / "output",
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            said.write_text(done.stdout)
    return Finished(said.read_text(), folder / "output", folder / "cache")


@dataclass(frozen=True)
class Small:
    """A workflow that trains a few steps: the real parts, in seconds."""

    folder: Path

    def write(self, **changes: object) -> Path:
        """Write it; changes replace top-level keys."""
        text = "### Text: {phrase}\n### The tone is:\n{tone}"
        document = {
            "input_model": {"type": "HfModel", "model_path": str(EMOTIONS / "model")},
            "data_configs": [
                {
                    "name": "train",
                    "type": "HuggingfaceContainer",
                    "load_dataset_config": {"data_files": str(EMOTIONS / "data" / "emotions.json")},
                    "pre_process_data_config": {
                        "text_template": text, "max_samples": 64, "max_seq_len": 64, "completion_only": True,
                    },
                }
            ],
            "passes": {"lora": self.lora(), "merge": {"type": "MergeAdapterWeights"},
                       "builder": {"type": "ModelBuilder", "precision": "int4"}},
            "cache_dir": "cache",
            "output_dir": "output",
            **changes,
        }  # fmt: skip
        path = self.folder / "workflow.json"
        path.write_text(json.dumps(document, indent=1))
        return path

    @staticmethod
    def lora(**changes: object) -> dict[str, object]:
        arguments = {
            "max_steps": 12, "per_device_train_batch_size": 4, "learning_rate": 1e-3, "logging_steps": 1,
            "save_steps": 2, "save_strategy": "steps",
        }  # fmt: skip
        return {"type": "LoRA", "r": 4, "alpha": 8, "train_data_config": "train",
                "training_args": arguments, **changes}  # fmt: skip


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path)


@pytest.fixture
def model_copy(tmp_path: Path) -> Path:
    """A copy of the example model that a test may spoil."""
    return Path(shutil.copytree(EMOTIONS / "model", tmp_path / "model"))
