"""The example's workflow, model and data, for the benchmarks: hyper-parameters are read from its file."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import yaml
from harness import REPOSITORY

from modelpress.api import DataContext
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


def rows_of(file: Path, like: str) -> dict[str, Any]:
    """The data config of that name over all rows of another file."""
    data = data_config(like)
    del data["holdout"]
    return {**data, "load_dataset_config": {"data_name": "json", "data_files": str(file)}}


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
            rows = list(
                open_huggingface(HuggingfaceOptions.parse(options), DataContext(Path(scratch))).records()
            )
        parts.append(folder / f"{name}.json")
        parts[-1].write_text(json.dumps(rows), encoding="utf-8")
    return parts[0], parts[1]
