"""What a model that came from somewhere may not do: have files of this machine copied, have its code run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import modelpress
from modelpress.artifact import Artifact, Meta, links_leading_out, write_manifest
from modelpress.engine.load import find_artifact
from modelpress.errors import UserError, WorkflowError
from modelpress.registry import Registry


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("my key")
    return path


@pytest.mark.parametrize("place", ["notes.txt", "deep/notes.txt"])
@pytest.mark.parametrize("passes", [None, {}])
def test_a_link_out_of_a_model_is_told_before_any_work(demo, secret: Path, place: str, passes) -> None:
    link = demo.folder / "model" / place
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(secret)
    demo.write(**({} if passes is None else {"passes": passes}))
    with pytest.raises(WorkflowError, match=r"notes\.txt is a link that leads out"):
        modelpress.run(demo.folder / "workflow.json")
    assert not (demo.folder / "output").exists()


def test_a_link_to_a_folder_or_to_nothing_leads_out_as_well(tmp_path: Path, secret: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "all").symlink_to("/")
    (folder / "nothing").symlink_to(tmp_path / "not there")
    (folder / "relative").symlink_to("../secret")
    (folder / "within").symlink_to("all2")
    assert [path.name for path in links_leading_out(folder)] == ["all", "nothing", "relative"]


def test_the_blobs_of_a_hubs_cache_are_the_models_own(tmp_path: Path, secret: Path) -> None:
    repository = tmp_path / "models--org--name"
    snapshot, blobs = repository / "snapshots" / ("a" * 40), repository / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "b1").write_text("weights")
    (snapshot / "model.safetensors").symlink_to("../../blobs/b1")
    assert links_leading_out(snapshot) == []
    (blobs / "b2").symlink_to(secret)
    (snapshot / "b2").symlink_to("../../blobs/b2")
    assert [path.name for path in links_leading_out(snapshot)] == ["b2"]


def test_a_whole_model_behind_a_link_is_taken(demo) -> None:
    os.rename(demo.folder / "model", demo.folder / "disk")
    (demo.folder / "model").symlink_to(demo.folder / "disk")
    modelpress.run(demo.folder / "workflow.json")
    assert demo.text == "ONE TWO MORE"


def test_what_a_manifest_says_of_trust_does_not_count(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "text.txt").write_text("x")
    told = Meta(
        trust_remote_code=True, load_kwargs={"attn_implementation": "evil/kernel", "dtype": "float16"}
    )
    write_manifest(
        Artifact(folder, "hf-model", "key", base=Artifact(folder, "hf-model", "b", meta=told), meta=told)
    )
    found = find_artifact(folder, Registry.load())
    for artifact in (found, found.base):
        assert artifact is not None
        assert not artifact.meta.trust_remote_code
        assert artifact.meta.load_kwargs == {"dtype": "float16"}
    assert find_artifact(folder, Registry.load(), trust_remote_code=True).meta.trust_remote_code


def test_a_model_with_a_link_out_of_it_is_not_opened(tmp_path: Path, secret: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "tokenizer.json").symlink_to(secret)
    write_manifest(Artifact(folder, "hf-model", "key"))
    with pytest.raises(UserError, match="leads out"):
        find_artifact(folder, Registry.load())
