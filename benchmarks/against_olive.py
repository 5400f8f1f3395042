"""Olive as a contender: its workflow files, and the environment that it runs in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import emotions
from harness import ROOT, Contender, environment, remove

OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
_REQUIREMENTS = ("olive-ai==0.13.0", "onnxruntime-genai==0.14.1", "requests", "torch==2.13.0", "transformers==5.23.0",
                 "peft", "datasets", "accelerate", "bitsandbytes")  # fmt: skip
"""With onnxruntime-genai 0.18 it fails, without requests it does not import."""


def python() -> Path:
    """The Python that has Olive."""
    return environment("olive", _REQUIREMENTS)


def workflow(
    passes: Mapping[str, Any],
    folder: Path,
    *,
    model: Path = emotions.MODEL,
    adapter: Path | None = None,
    data: Path | None = None,
    dtype: str = "auto",
) -> Path:
    """A workflow file of Olive, with cache and output below the folder. data: rows, named `train`."""
    document = {
        "input_model": {"type": "HfModel", "model_path": str(model), "load_kwargs": {"torch_dtype": dtype}},
        "passes": dict(passes),
        "data_configs": [data_config("train", data)] if data else [],
        "cache_dir": str(folder / "cache"),
        "output_dir": str(folder / "output"),
        "log_severity_level": 2,
    }
    if adapter:
        document["input_model"]["adapter_path"] = str(adapter)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "olive.json"
    file.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return file


def contender(name: str, passes: Mapping[str, Any], folder: Path, **given: Any) -> Contender:
    """Olive's `run` of such a workflow, each time with an empty cache. Its model is in folder/output/model."""

    def lay_out(_: int) -> None:
        remove(folder)
        workflow(passes, folder, **given)

    command = [str(python()), str(ROOT / "contenders" / "olive_run.py"), str(folder / "olive.json")]
    return Contender(name, command, OFFLINE, before=lay_out)


def data_config(name: str, file: Path) -> dict[str, Any]:
    """The rows in a file as a data config of Olive: the example's template, one sample a row."""
    text = emotions.data_config("train")["pre_process_data_config"]
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
