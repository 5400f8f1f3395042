"""HfModel and HuggingfaceContainer take resources: planned without fetching, then as if they lay here."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import modelpress
from modelpress.engine.open_data import open_data
from modelpress.engine.prepare import complete_plan, prepare
from modelpress.registry import Registry

NAME = "loopback_plugin"
SOURCE = Path(__file__).parents[2] / "core" / "engine" / f"{NAME}.py.txt"


@pytest.fixture
def work(tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A workflow whose model and data are resources on shelves beside it."""
    site = tmp_path / "site"
    info = site / "loopback-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loopback\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[modelpress]\nloopback = {NAME}\n")
    (site / f"{NAME}.py").write_text(SOURCE.read_text())
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("MODELPRESS_LOOPBACK_LOG", str(tmp_path / "log"))
    folder = tmp_path / "work"
    shutil.copytree(model_folder, folder / "shelves" / "model")
    (folder / "shelves" / "rows").mkdir()
    (folder / "shelves" / "rows" / "rows.json").write_text('[{"text": "one"}, {"text": "two"}]')
    for shelf in ("model", "rows"):
        (folder / "shelves" / shelf / "etag").write_text("1")
    document = {
        "input_model": {"type": "HfModel", "model_path": {"type": "shelf", "folder": "shelves/model"}},
        "data_configs": {
            "rows": {
                "type": "HuggingfaceContainer",
                "load_dataset_config": {"data_files": [{"type": "shelf", "folder": "shelves/rows"}]},
            }
        },
        "passes": {"press": {"type": "Rtn", "bits": 4, "group_size": 16}},
        "cache_dir": "cache",
    }
    (folder / "w.json").write_text(json.dumps(document))
    yield folder
    sys.modules.pop(NAME, None)


def fetched(work: Path) -> list[str]:
    log = work.parent / "log"
    return log.read_text().splitlines() if log.exists() else []


def test_a_model_on_a_shelf_is_planned_fetched_and_planned_again(work: Path) -> None:
    registry = Registry.load()
    with prepare(work / "w.json", registry) as prepared:
        draft = prepared.plan
        assert not list(draft.problems)
        assert draft.model is not None
        assert draft.model.path is None
        assert draft.model.identity.startswith("resource:shelf:")
        assert fetched(work) == []
        plan = complete_plan(prepared, registry, lambda event: None)
    assert fetched(work) == ["fetch model"]
    assert plan.model.identity == draft.model.identity
    assert plan.model.config
    assert plan.steps[0].size > 0, "Rtn's plan has seen the model"
    with prepare(work / "w.json", registry) as prepared:
        assert prepared.plan.whole().steps[0].key == plan.steps[0].key


def test_data_on_a_shelf_are_previewed(work: Path, model_folder: Path) -> None:
    source, _ = open_data(work / "w.json", "rows", Registry.load(), model=model_folder)
    assert [row["text"] for row in source.records()] == ["one", "two"]
    assert fetched(work) == ["fetch rows"]


def test_a_model_on_a_shelf_is_pressed_as_one_that_lies_here(work: Path, model_folder: Path) -> None:
    document = json.loads((work / "w.json").read_text())
    document["evaluators"] = {"e": {"metrics": [{"type": "perplexity", "data_config": "rows"}]}}
    (work / "w.json").write_text(json.dumps({**document, "evaluator": "e"}))
    from_shelf = modelpress.run(work / "w.json")
    assert sorted(fetched(work)) == ["fetch model", "fetch rows"]
    here = {"type": "HfModel", "model_path": str(model_folder)}
    (work / "here.json").write_text(json.dumps({**document, "input_model": here, "cache_dir": "other"}))
    from_here = modelpress.run(work / "here.json")
    weights = [result.artifact.path / "model.safetensors" for result in (from_shelf, from_here)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert from_shelf.metrics["perplexity"] > 1
    again = modelpress.run(work / "w.json")
    assert all(step["cached"] for step in again.run_record["steps"])
    assert len(fetched(work)) == 2
