"""The model, the formats and the data containers of Hugging Face keep the contracts of their kinds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from modelpress.api import Artifact
from modelpress.testing import DataContract, FormatContract, ModelContract, input_artifact, make_tiny_model


class TestHfModel(ModelContract):
    model_name = "HfModel"

    def make_options(self, folder: Path) -> Mapping[str, str]:
        return {"model_path": str(make_tiny_model(folder))}


class TestHfModelFormat(FormatContract):
    format_name = "hf-model"
    needed_files = ("config.json", "model.safetensors")

    def make_model(self, folder: Path) -> Artifact:
        return input_artifact(make_tiny_model(folder), "hf-model")


class TestHuggingfaceContainer(DataContract):
    data_name = "HuggingfaceContainer"

    @pytest.fixture(autouse=True)
    def _a_tokenizer(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self._model = self.kept("model", lambda: make_tiny_model(tmp_path_factory.mktemp("model") / "tiny"))

    def tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self._model)

    def make_options(self, folder: Path) -> Mapping[str, Any]:
        folder.mkdir()
        rows = [{"phrase": f"it is number {number}", "tone": "calm"} for number in range(6)]
        (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
        return {
            "load_dataset_config": {"data_name": "json", "data_files": str(folder / "rows.json")},
            "pre_process_data_config": {"text_template": "{phrase} is {tone}", "max_seq_len": 64},
        }


class TestDummyDataContainer(DataContract):
    data_name = "DummyDataContainer"

    def make_options(self, folder: Path) -> Mapping[str, Any]:
        return {"load_dataset_config": {"max_samples": 4, "seq_length": 8}}
