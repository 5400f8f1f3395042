"""The card beside a finished model: what it tells, what it does not, and whose it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import modelpress
from modelpress.artifact import Artifact, Meta, write_manifest
from modelpress.engine.card import Made, write_card
from modelpress.engine.licence import licence_of
from modelpress.engine.ownership import Export, obstacle
from modelpress.engine.record import RunRecord, StepRecord
from modelpress.errors import WorkflowError
from modelpress.files import is_sealed_text
from modelpress.usage import Usage

RECORD = RunRecord(
    id="x", workflow_id="w", workflow="/home/jane/w.yaml", status="running", started="", seconds=1.0,
    modelpress="0.1.0", python="3.11", platform="Linux", host="janes-laptop", process=1,
    log="/home/jane/log.txt", output_dir="/home/jane/out", seed=0,
    input_model={"identity": "hub:org/small@abc123", "format": "text"}, translations=[],
)  # fmt: skip


def step(**changes: object) -> StepRecord:
    facts: dict[str, object] = {
        "name": "a", "type": "Append", "kind": "pass", "key": "k", "system": "local", "cached": False,
        "provider": "acme 2.0+abc", "options": {"text": "more", "empty": None, "f": "/home/jane/secret.txt"},
        "libraries": {"torch": "2.9"}, "data": {"train": {"container": "Lines", "provider": "x"}},
        "reports": {"loss": 0.25},
    }  # fmt: skip
    return StepRecord(**{**facts, **changes})  # type: ignore[arg-type]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(b"1")
    artifact = Artifact(folder, "text", "key", meta=Meta(task="text-generation", prompt_template="Say {x}:"))
    write_manifest(artifact)
    usage = Usage("Open it.", "look {}", library="acme", tags=("tiny",), relation="quantized")
    measured = [step(kind="metric", type="words", metrics={"words": 3.0})]
    return Made(artifact, [step()], measured, "Text.", usage)


def front(path: Path) -> dict[str, object]:
    return yaml.safe_load(path.read_text().split("---\n")[1])


def test_it_says_what_the_model_is_and_how_it_was_made(made: Made) -> None:
    path = write_card(made, RECORD)
    assert path is not None
    assert front(path) == {
        "base_model": "org/small",
        "base_model_relation": "quantized",
        "library_name": "acme",
        "pipeline_tag": "text-generation",
        "tags": ["modelpress", "text", "tiny"],
    }
    text = path.read_text()
    for part in (
        "# small: text", "`org/small`, commit abc123", "1. **Append**: loss 0.25", "text: more", "acme 2.0",
        "torch: '2.9'", "container: Lines", "| words | 3 |", "Say {x}:", "Open it.", "See `org/small`",
    ):  # fmt: skip
        assert part in text, part


def test_it_tells_nothing_of_the_machine(made: Made) -> None:
    path = write_card(made, RECORD)
    assert path is not None
    text = path.read_text()
    for private in ("/home/jane", "janes-laptop", str(made.artifact.path.parent), "empty"):
        assert private not in text
    assert "secret.txt" in text


def test_it_holds_no_secret(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelpress.secrets import read_secret

    monkeypatch.setenv("ACME_TOKEN", "tk-very-secret")
    read_secret("ACME_TOKEN")
    told = Made(made.artifact, [step(options={"text": "tk-very-secret"})], (), "Text.", None)
    path = write_card(told, RECORD)
    assert path is not None
    assert "tk-very-secret" not in path.read_text()


def test_written_again_it_is_the_same_and_ours(made: Made) -> None:
    path = write_card(made, RECORD)
    assert path is not None
    before = path.read_bytes()
    assert is_sealed_text(path)
    assert write_card(made, RECORD) == path
    assert path.read_bytes() == before


def test_an_edited_card_is_the_users_and_stays(made: Made) -> None:
    path = write_card(made, RECORD)
    assert path is not None
    path.write_text(path.read_text().replace("# small", "# My model"))
    assert write_card(made, RECORD) is None
    assert "# My model" in path.read_text()
    assert obstacle(Export(made.artifact.path, "another", None, "")) != ""
    assert obstacle(Export(made.artifact.path, "key", None, "")) == ""


def test_a_card_of_ours_is_replaced_with_its_model(made: Made) -> None:
    write_card(made, RECORD)
    assert obstacle(Export(made.artifact.path, "another", None, "")) == ""


def test_a_read_me_of_the_models_own_keeps_its_name(made: Made) -> None:
    folder = made.artifact.path
    (folder / "README.md").write_text("---\nlicense: mit\n---\nThe base's own.")
    write_manifest(made.artifact)
    path = write_card(made, RECORD)
    assert path == folder / "MODELPRESS.md"
    assert (folder / "README.md").read_text().endswith("The base's own.")
    assert front(path)["license"] == "mit"


@pytest.mark.parametrize(
    ("name", "text", "front", "files"),
    [
        ("README.base.md", "---\nlicense: [apache-2.0]\n---\n", {"license": "apache-2.0"}, []),
        ("README.base.md", "---\nlicense: other\nlicense_name: small-1\n---\n",
         {"license": "other", "license_name": "small-1"}, []),
        ("LICENSE", "MIT License\n\nCopyright", {"license": "mit"}, ["LICENSE"]),
        ("LICENSE.txt", "SMALL COMMUNITY LICENSE AGREEMENT\n\nOne.",
         {"license": "other", "license_name": "SMALL COMMUNITY LICENSE AGREEMENT"}, ["LICENSE.txt"]),
        ("NOTICE", "Small is …", {}, ["NOTICE"]),
        ("README.base.md", "---\n: [\n---\n", {}, []),
    ],
)  # fmt: skip
def test_the_licence_is_named_by_the_models_own_files(
    tmp_path: Path, name: str, text: str, front: dict[str, str], files: list[str]
) -> None:
    (tmp_path / name).write_text(text)
    found = licence_of([tmp_path])
    assert (dict(found.front), list(found.files)) == (front, files)


def test_a_run_writes_it_and_a_second_run_leaves_an_edited_one(demo) -> None:
    demo.write(evaluators={"e": {"metrics": [{"name": "w", "type": "words"}]}}, evaluator="e")
    modelpress.run(demo.folder / "workflow.json")
    path = demo.folder / "output" / "model" / "README.md"
    text = path.read_text()
    assert "1. **Append**: loss 0.25\n2. **Upper**" in text
    assert "| words | 3 |" in text
    assert str(demo.folder) not in text
    path.write_text("mine")
    told = modelpress.run(demo.folder / "workflow.json")
    assert path.read_text() == "mine"
    assert json.loads((demo.folder / "output" / "run.json").read_text())["status"] == "finished"
    assert told.artifact.path == path.parent


def test_other_options_do_not_replace_a_model_with_an_edited_card(demo) -> None:
    demo.write()
    modelpress.run(demo.folder / "workflow.json")
    path = demo.folder / "output" / "model" / "README.md"
    path.write_text("mine")
    demo.write(passes={"a": {"type": "Append", "text": " else"}, "b": {"type": "Upper"}})
    with pytest.raises(WorkflowError, match=r"README\.md"):
        modelpress.run(demo.folder / "workflow.json")
    assert path.read_text() == "mine"
    path.unlink()
    modelpress.run(demo.folder / "workflow.json")
    assert is_sealed_text(path)
