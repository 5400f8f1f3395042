"""Broken ort-genai folders are refused without opening them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from modelpress.api import UserError
from modelpress_plugins.model_builder.check import check


@pytest.fixture
def folder(fp32_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(fp32_folder, tmp_path / "model")


def test_a_whole_folder_passes(folder: Path) -> None:
    check(folder)


@pytest.mark.parametrize("name", ["genai_config.json", "model.onnx", "model.onnx.data", "tokenizer.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UserError, match="tokenizer" if name == "tokenizer.json" else name):
        check(folder)


def test_cut_weights_are_noticed(folder: Path) -> None:
    data = folder / "model.onnx.data"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(UserError, match="cut short"):
        check(folder)


def test_an_empty_graph_is_noticed(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"")
    with pytest.raises(UserError, match="is empty"):
        check(folder)


def test_a_damaged_configuration_is_named(folder: Path) -> None:
    (folder / "genai_config.json").write_text("{")
    with pytest.raises(UserError, match=r"genai_config\.json cannot be read"):
        check(folder)


def test_every_stage_of_a_pipeline_is_looked_for(folder: Path) -> None:
    path = folder / "genai_config.json"
    config = json.loads(path.read_text())
    config["model"]["vision"] = {"filename": "vision.onnx"}
    path.write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"lacks vision\.onnx"):
        check(folder)
