"""Broken ort-genai folders are refused without opening them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
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


def changed(folder: Path, place: str, value: object) -> None:
    """Put a value into genai_config.json, at a path of keys."""
    path = folder / "genai_config.json"
    config = json.loads(path.read_text())
    *keys, last = place.split(".")
    section = config
    for key in keys:
        section = section.setdefault(key, {})
    section[last] = value
    path.write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("model.decoder.session_options.custom_ops_library", "evil.so"),
        ("model.decoder.session_options.custom_ops_library", "evil"),
        ("model.vision.session_options.custom_ops_library", "/tmp/evil.so.1"),
        ("model.decoder.session_options.provider_options", [{"cuda": {"plugin": "./evil.dll"}}]),
        ("model.decoder.session_options.provider_options", [{"qnn": {"backend_path": "/tmp/x.so"}}]),
        ("model.decoder.pipeline", [{"embed": {"run_options": {"x": "evil.DLL"}}}]),
    ],
)
def test_a_library_that_comes_with_a_model_is_refused(folder: Path, place: str, value: object) -> None:
    changed(folder, place, value)
    with pytest.raises(UserError, match="names a library to be run"):
        check(folder)


def test_the_library_of_the_provider_itself_may_be_named_but_not_brought(folder: Path) -> None:
    options = [{"qnn": {"backend_path": "QnnHtp.dll"}}]
    changed(folder, "model.decoder.session_options.provider_options", options)
    check(folder)
    (folder / "QnnHtp.dll").write_bytes(b"MZ")
    with pytest.raises(UserError, match="names a library to be run"):
        check(folder)


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/passwd", "C:\\x.onnx", "a\\..\\..\\x.onnx", "~/x"])
def test_a_file_outside_the_folder_is_refused(folder: Path, name: str) -> None:
    changed(folder, "model.vision.filename", name)
    with pytest.raises(UserError, match="outside its folder"):
        check(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "sub/../../" + "x" * 150])
def test_weights_outside_the_folder_are_refused(folder: Path, name: str) -> None:
    graph = onnx.load(folder / "model.onnx", load_external_data=False)
    for tensor in graph.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = name
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(UserError, match="keeps weights outside its folder"):
        check(folder)
