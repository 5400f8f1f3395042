"""genai_config.json says what the graph is like after a surgery."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelpress.api import UserError
from modelpress_plugins.graph_surgeries.edit import Operation
from modelpress_plugins.graph_surgeries.genai import follow

CONFIG = {
    "model": {
        "context_length": 131072,
        "decoder": {
            "filename": "model.onnx",
            "inputs": {
                "input_ids": "input_ids",
                "attention_mask": "attention_mask",
                "past_key_names": "past.%d.key",
            },
            "outputs": {"logits": "logits", "present_key_names": "present.%d.key"},
        },
        "vision": {"filename": "vision.onnx", "inputs": {"pixel_values": "input_ids"}},
    },
    "search": {"max_length": 131072, "top_k": 50},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "genai_config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def after(folder: Path, operation: Operation) -> dict[str, dict[str, dict[str, dict[str, str]]]]:
    assert follow(folder, "model.onnx", operation, print)
    found: dict[str, dict[str, dict[str, dict[str, str]]]] = json.loads(
        (folder / "genai_config.json").read_text()
    )
    return found


def test_names_are_those_of_the_graph_it_names(folder: Path) -> None:
    operation = Operation()
    operation.rename_inputs({"input_ids": "ids"})
    operation.rename_inputs({"ids": "tokens"})
    operation.rename_outputs({"logits": "scores"})
    model = after(folder, operation)["model"]
    assert model["decoder"]["inputs"]["input_ids"] == "tokens"
    assert model["decoder"]["outputs"]["logits"] == "scores"
    assert model["vision"]["inputs"]["pixel_values"] == "input_ids", (
        "another graph's input of that name stays"
    )


def test_names_that_are_numbered_follow_when_all_are_renamed_alike(folder: Path) -> None:
    operation = Operation()
    operation.rename_inputs({f"past.{i}.key": f"cache.{i}.k" for i in range(12)})
    assert after(folder, operation)["model"]["decoder"]["inputs"]["past_key_names"] == "cache.%d.k"


def test_numbered_names_that_are_renamed_otherwise_are_told(folder: Path) -> None:
    operation = Operation()
    operation.rename_inputs({"past.0.key": "first", "past.1.key": "second"})
    with pytest.raises(UserError, match="by number"):
        follow(folder, "model.onnx", operation, print)


def test_lengths_stand_in_place_of_the_mask(folder: Path) -> None:
    inputs = after(folder, Operation(removed_inputs={"attention_mask"}))["model"]["decoder"]["inputs"]
    assert "attention_mask" not in inputs
    assert inputs["past_sequence_length"] == "past_seq_len"


def test_a_shorter_table_of_angles_shortens_the_context(folder: Path) -> None:
    told: list[str] = []
    assert follow(folder, "model.onnx", Operation(longest=4096), told.append)
    found = json.loads((folder / "genai_config.json").read_text())
    assert (found["model"]["context_length"], found["search"]["max_length"]) == (4096, 4096)
    assert len(told) == 2


def test_nothing_is_written_where_nothing_changed(folder: Path) -> None:
    before = (folder / "genai_config.json").stat().st_mtime_ns
    assert not follow(folder, "model.onnx", Operation(), print)
    assert (folder / "genai_config.json").stat().st_mtime_ns == before
    assert not follow(folder.parent, "model.onnx", Operation(longest=3), print)
