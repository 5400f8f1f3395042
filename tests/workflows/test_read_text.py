"""The example of a vision model: in 8 bits it is smaller, timed before and after, and reads as well."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import modelpress

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "read_text"


def test_a_recognizer_of_text_gets_smaller_and_reads_as_well(tmp_path: Path) -> None:
    if find_spec("rapidocr_onnxruntime") is None:
        pytest.skip("rapidocr-onnxruntime, which carries the model, is not installed")
    folder = tmp_path / "read_text"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("output*", "*.onnx"))
    subprocess.run([sys.executable, "read.py"], cwd=folder, check=True)
    result = modelpress.run(folder / "workflow.yaml", output_dir=tmp_path / "output")
    file = result.artifact.path / "recognizer.onnx"
    assert file.stat().st_size < 0.75 * (folder / "recognizer.onnx").stat().st_size
    assert {"latency_avg_ms", "size_on_disk"} <= set(result.metrics)
    told = subprocess.run(
        [sys.executable, "read.py", file], cwd=folder, check=True, capture_output=True, text=True
    ).stdout
    assert int(told.splitlines()[-1].partition(" of 40")[0]) >= 38
