"""The model, the formats and the data containers of Hugging Face keep the contracts of their kinds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from modelpress.api import Artifact
from modelpress.testing import (
    CommandContract,
    DataContract,
    FormatContract,
    ModelContract,
    input_artifact,
    make_tiny_model,
)


class TestHfModel(ModelContract):
    model_name = "HfModel"

    def make_options(self, folder: Path) -> Mapping[str, str]:
        return {"model_path": str(make_tiny_model(folder))}


class TestHfModelFormat(FormatContract):
    format_name = "hf-model"
    needed_files = ("config.json", "model.safetensors")

    def make_model(self, folder: Path) -> Artifact:
        return input_artifact(make_tiny_model(folder), "hf-model")


class TestHfAdapterFormat(FormatContract):
    format_name = "hf-adapter"
    needed_files = ("adapter_config.json", "adapter_model.safetensors")

    def make_model(self, folder: Path) -> Artifact:
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        base = make_tiny_model(folder / "base")
        model = get_peft_model(
            AutoModelForCausalLM.from_pretrained(base),
            LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"),
        )
        model.save_pretrained(folder / "adapter")
        return input_artifact(folder / "adapter", "hf-adapter", input_artifact(base, "hf-model"))


class TestAsk(CommandContract):
    command_name = "ask"

    def make_arguments(self, folder: Path) -> list[str]:
        return [
            str(make_tiny_model(folder)),
            "hello",
            "--raw",
            "--temperature",
            "5",
            "--max-new-tokens",
            "16",
        ]


class TestDataPreview(CommandContract):
    command_name = "data preview"

    def make_arguments(self, folder: Path) -> list[str]:
        model = make_tiny_model(folder / "model")
        (folder / "rows.json").write_text('[{"text": "one two"}]', encoding="utf-8")
        rows = {
            "type": "HuggingfaceContainer",
            "load_dataset_config": {"data_name": "json", "data_files": "rows.json"},
            "pre_process_data_config": {"text_cols": "text"},
        }
        document = {
            "input_model": {"type": "HfModel", "model_path": "model"},
            "data_configs": {"rows": rows},
            "passes": {"press": {"type": "Rtn"}},
            "cache_dir": "cache",
        }
        (folder / "w.json").write_text(json.dumps(document), encoding="utf-8")
        return [str(folder / "w.json"), "rows", "--model", str(model)]


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
