"""The built-in metrics keep the contract of every metric."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from modelpress.api import Artifact
from modelpress.testing import MetricContract, input_artifact, make_tiny_model


class TestSizeOnDisk(MetricContract):
    metric_name = "size_on_disk"

    def make_input(self, folder: Path) -> Artifact:
        folder.mkdir()
        (folder / "weights.bin").write_bytes(bytes(100))
        return input_artifact(folder, "hf-model")


class TestLatency(MetricContract):
    metric_name = "latency"
    exact: ClassVar[bool] = False

    def make_input(self, folder: Path) -> Artifact:
        return input_artifact(make_tiny_model(folder), "hf-model")
