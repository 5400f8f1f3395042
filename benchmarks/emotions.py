"""The example's workflow, model and data, for the benchmarks: hyper-parameters are read from its file."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import yaml
from harness import REPOSITORY

from modelpress_plugins.huggingface.data_config import HuggingfaceOptions
from modelpress_plugins.huggingface.source import open_huggingface

FOLDER = REPOSITORY / "examples" / "emotions"
MODEL = FOLDER / "model"


def example() -> dict[str, Any]:
    """The example's workflow, with absolute paths and no output folder."""
    document: dict[str, Any] = yaml.safe_load((FOLDER / "workflow.yaml").read_text(encoding="utf-8"))
    document["input_model"]["model_path"] = str(MODEL)
    for data in document["data_configs"]:
        files = data["load_dataset_config"]
        files["data_files"] = str(FOLDER / files["data_files"])
    del document["output_dir"]
    return document


def unmeasured() -> dict[str, Any]:
    """The same, without evaluation."""
    document = example()
    for part in (document, *document["passes"].values()):
        part.pop("evaluator", None)
    del document["evaluators"]
    return document


def lora_options() -> dict[str, Any]:
    """The options of the example's LoRA pass."""
    return next(dict(p) for p in unmeasured()["passes"].values() if p["type"] == "LoRA")


def data_config(name: str) -> dict[str, Any]:
    """One of the example's data configs."""
    return next(dict(data) for data in example()["data_configs"] if data["name"] == name)


def whole_text(data: dict[str, Any]) -> dict[str, Any]:
    """The data config with the loss on every token, not on the answers alone."""
    return {**data, "pre_process_data_config": {**data["pre_process_data_config"], "completion_only": False}}


def split_rows(folder: Path) -> tuple[Path, Path]:
    """(train.json, heldout.json): the example's rows, cut as its workflow cuts them, for tools that cannot."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for name in ("train", "heldout"):
        options = {key: value for key, value in data_config(name).items() if key not in ("name", "type")}
        with tempfile.TemporaryDirectory() as scratch:
            rows = list(open_huggingface(HuggingfaceOptions.parse(options), Path(scratch)).records())
        parts.append(folder / f"{name}.json")
        parts[-1].write_text(json.dumps(rows), encoding="utf-8")
    return parts[0], parts[1]


def olive_data(name: str, file: Path) -> dict[str, Any]:
    """The rows in a file as a data config of Olive: the same template, one sample a row."""
    text = data_config("train")["pre_process_data_config"]
    return {
        "name": name,
        "type": "HuggingfaceContainer",
        "load_dataset_config": {"data_name": "json", "data_files": str(file), "split": "train"},
        "pre_process_data_config": {
            "text_template": text["text_template"],
            "strategy": "line-by-line",
            "max_seq_len": text["max_seq_len"],
        },
    }


def olive_workflow(
    passes: dict[str, Any], folder: Path, *, data: Path, model: Path = MODEL, dtype: str = "auto"
) -> Path:
    """A workflow file of Olive, with cache and output below the folder. data: rows, named `train`."""
    document = {
        "input_model": {"type": "HfModel", "model_path": str(model), "load_kwargs": {"torch_dtype": dtype}},
        "passes": passes,
        "data_configs": [olive_data("train", data)],
        "cache_dir": str(folder / "cache"),
        "output_dir": str(folder / "output"),
        "log_severity_level": 2,
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "olive.json"
    file.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return file


OLIVE = ("olive-ai==0.13.0", "onnxruntime-genai==0.14.1", "requests", "torch==2.13.0", "transformers==5.23.0",
         "peft", "datasets", "accelerate", "bitsandbytes")  # fmt: skip
"""Olive with what it runs on: with onnxruntime-genai 0.18 it fails, without requests it does not import."""
