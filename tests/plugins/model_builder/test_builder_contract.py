"""ModelBuilder and what it gives keep the contracts of their kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from modelpress.api import Artifact
from modelpress.registry import Registry
from modelpress.specs import PassSpec
from modelpress.testing import FormatContract, PassContract, input_artifact, make_tiny_model, run_pass

pytest.importorskip("onnxruntime_genai", reason="the builder is not installed")


def source(folder: Path) -> Artifact:
    return input_artifact(make_tiny_model(folder), "hf-model")


class TestModelBuilder(PassContract):
    pass_name = "ModelBuilder"
    options: ClassVar[dict[str, Any]] = {"precision": "int4", "block_size": 32}
    bad_options: ClassVar[dict[str, Any]] = {"precision": "int5"}
    size_within = 2.0  # of so small a model, the graph and the tokenizer are the half

    def make_input(self, folder: Path) -> Artifact:
        return source(folder)


class TestOrtGenaiFormat(FormatContract):
    format_name = "ort-genai"
    needed_files = ("genai_config.json", "model.onnx", "model.onnx.data")

    def make_model(self, folder: Path) -> Artifact:
        registry = Registry.load()
        entry = registry.find(PassSpec, "ModelBuilder")
        model = source(folder / "source")
        return run_pass(entry, model, {"precision": "int4"}, folder / "job", registry=registry)
