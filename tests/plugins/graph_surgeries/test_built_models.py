"""Embeddings of what ModelBuilder writes: each way it has of writing them, and the same answers after."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors.torch import load_file, save_file

import modelpress
from modelpress.api import Registry, load_model
from modelpress.events import Log

MODEL = Path(__file__).resolve().parents[3] / "examples" / "emotions" / "model"
TIE = [{"surgeon": "TieWordEmbeddings"}]
SHARE = [{"surgeon": "QuantizeEmbeddingInt8"}, {"surgeon": "ShareEmbeddingLmHead"}]
IDS = [1, 40, 300, 12, 7]


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's model, as if it had been trained with one weight for both."""
    folder = tmp_path_factory.mktemp("tied") / "model"
    shutil.copytree(MODEL, folder)
    tensors = load_file(folder / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    return folder


@pytest.mark.parametrize(
    ("precision", "surgeries", "told", "exact"),
    [
        ("fp32", TIE, "TieWordEmbeddings 1", True),
        ("int4", SHARE, "ShareEmbeddingLmHead 1", False),
    ],
)
def test_embeddings_of_a_built_model_become_one_and_answers_stay(
    tied: Path,
    tmp_path: Path,
    precision: str,
    surgeries: list[dict[str, str]],
    told: str,
    exact: bool,
) -> None:
    notes: list[str] = []
    apart = {"shared_embeddings": False}
    build = {"type": "ModelBuilder", "precision": precision, "extra_options": apart}
    before = _built(tied, tmp_path / "before", {"build": build}, notes.append)
    cut = {"type": "GraphSurgeries", "surgeries": surgeries}
    after = _built(tied, tmp_path / "after", {"build": build, "cut": cut}, notes.append)
    assert any(told in note for note in notes)
    names = [tensor.name for tensor in onnx.load(after / "model.onnx").graph.initializer]
    ends = [name for name in names if "embed_tokens" in name or "lm_head" in name]
    assert sum(name.endswith(("_Q8", "_Q4", "qweight", ".weight")) for name in ends) == 1, ends
    first, second = _logits(before), _logits(after)
    gap = np.abs(first - second).max() / np.abs(first).max()
    assert gap < (1e-4 if exact else 0.1)


def _built(model: Path, out: Path, passes: dict[str, dict[str, object]], tell: Callable[[str], None]) -> Path:
    written = {
        "input_model": {"type": "HfModel", "model_path": str(model)},
        "passes": passes,
        "output_dir": str(out),
    }
    result = modelpress.run(
        written, on_event=lambda event: tell(event.message) if isinstance(event, Log) else None
    )
    return result.artifact.path


def _logits(folder: Path) -> np.ndarray:
    loaded = load_model(folder, Registry.load())
    try:
        return np.asarray(loaded.logits(IDS))  # type: ignore[attr-defined]
    finally:
        loaded.close()
