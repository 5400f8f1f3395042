"""A real training killed for real: the re-run goes on from its checkpoint and gives the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")


def model_bytes(folder: Path) -> dict[str, bytes]:
    files = [p for p in sorted((folder / "output" / "model").iterdir()) if p.name != "modelpress.json"]
    return {path.name: path.read_bytes() for path in files}


def events(folder: Path) -> list[dict]:
    paths = list((folder / "cache" / "jobs").glob("*/events.jsonl"))
    lines = [line for path in paths for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines if line.endswith("}")]


def steps_done(folder: Path) -> int:
    done = [event["done"] for event in events(folder) if event.get("unit") == "steps"]
    return max(done, default=0)


def test_a_run_killed_in_training_ends_with_the_same_bytes(small, cli, tmp_path: Path) -> None:
    workflow = small.write()
    whole = tmp_path / "whole"
    done = cli("run", workflow, "--cache-dir", whole / "cache", "--output-dir", whole / "output")
    assert done.returncode == 0, done.stderr

    run = subprocess.Popen([sys.executable, "-m", "modelpress", "run", str(workflow)])
    end = time.monotonic() + 240
    while steps_done(tmp_path) < 7:
        assert run.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()

    done = cli("run", workflow)
    assert done.returncode == 0, done.stderr
    assert model_bytes(tmp_path) == model_bytes(whole)
    assert any(f"Training goes on from step {step}." in done.stdout for step in (6, 8, 10)), done.stdout
