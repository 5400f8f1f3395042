"""What travels with the weights, and from where the tokenizer comes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelpress.api import Artifact, Meta, UserError
from modelpress_plugins.hf.files import (
    copy_companions,
    copy_licence,
    copy_tokenizer,
    meta_beside_tokenizer,
    tokenizer_folder,
    travels,
    whole_folder,
)

_TRAVEL = """
    tokenizer.json tokenizer_config.json special_tokens_map.json added_tokens.json vocab.json merges.txt
    spiece.model tekken.json qwen.tiktoken chat_template.jinja additional_chat_templates/tool.jinja
    generation_config.json preprocessor_config.json processor_config.json LICENSE LICENSE.txt NOTICE README.md
    USE_POLICY.md
"""
_STAY = """
    config.json modelpress.json model.safetensors model.safetensors.index.json pytorch_model.bin
    training_args.bin adapter_config.json adapter_model.safetensors .gitattributes trainer_state.json
    optimizer.pt model.onnx
"""
TRAVEL, STAY = _TRAVEL.split(), _STAY.split()
ARRIVE = {*TRAVEL, "README.base.md"} - {"README.md"}
CODE = ["modeling_own.py", "parts/attention.py"]


def artifact(folder: Path, **meta: Any) -> Artifact:
    return Artifact(folder, "hf-model", "key", meta=Meta(**meta))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with one file of each name, each holding its name."""
    for name in (*TRAVEL, *STAY, *CODE):
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "model"


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_tokenizer_templates_settings_and_licence_travel_weights_stay(model: Path, tmp_path: Path) -> None:
    copy_companions(artifact(model), tmp_path / "out")
    assert names(tmp_path / "out") == ARRIVE
    assert (tmp_path / "out" / "LICENSE").read_text() == "LICENSE"


def test_a_read_me_leaves_its_name_to_the_card_of_what_is_made(model: Path, tmp_path: Path) -> None:
    copy_companions(model, tmp_path / "once")
    copy_companions(tmp_path / "once", tmp_path / "twice")
    assert (tmp_path / "twice" / "README.base.md").read_text() == "README.md"
    (tmp_path / "once" / "README.md").write_text("a card")
    for _ in range(2):  # the second as after a kill
        copy_companions(tmp_path / "once", tmp_path / "third")
    assert (tmp_path / "third" / "README.base.md").read_text() == "README.md"
    assert (tmp_path / "third" / "README.base.2.md").read_text() == "a card"


def test_the_licence_goes_along_by_itself(model: Path, tmp_path: Path) -> None:
    copy_licence(model, tmp_path / "out")
    assert names(tmp_path / "out") == {"LICENSE", "LICENSE.txt", "NOTICE", "README.base.md", "USE_POLICY.md"}


def test_code_travels_only_where_it_is_trusted(model: Path, tmp_path: Path) -> None:
    copy_companions(artifact(model, trust_remote_code=True), tmp_path / "out")
    assert names(tmp_path / "out") == {*ARRIVE, *CODE}


def test_a_bare_folder_is_not_trusted(model: Path, tmp_path: Path) -> None:
    copy_companions(model, tmp_path / "out")
    assert names(tmp_path / "out") == ARRIVE


def test_names_are_the_same_in_any_case() -> None:
    assert travels("Licence.MD")
    assert travels("Notice")
    assert not travels("Modeling.PY")


@pytest.fixture
def apart(tmp_path: Path) -> Artifact:
    """A model as MLflow keeps it: the tokenizer in a folder of its own."""
    for name, files in {
        "model": ("config.json", "LICENSE"),
        "tokenizer": ("tokenizer.json", "x.jinja"),
    }.items():
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_text(file)
    (tmp_path / "tokenizer" / "README.md").write_text("of the tokenizer")
    return artifact(tmp_path / "model", tokenizer_path=str(tmp_path / "tokenizer"))


def test_a_tokenizer_that_lies_apart_comes_to_its_model(apart: Artifact, tmp_path: Path) -> None:
    copy_companions(apart, tmp_path / "out")
    assert names(tmp_path / "out") == {"LICENSE", "tokenizer.json", "x.jinja"}


def test_a_whole_folder_is_made_of_links_and_the_tokenizer(apart: Artifact, tmp_path: Path) -> None:
    whole = whole_folder(apart, tmp_path / "whole")
    assert names(whole) == {"config.json", "LICENSE", "tokenizer.json", "x.jinja"}
    assert names(apart.path) == {"config.json", "LICENSE"}


def test_a_folder_that_is_whole_already_is_left_alone(model: Path, tmp_path: Path) -> None:
    assert whole_folder(artifact(model), tmp_path / "whole") == model
    assert not (tmp_path / "whole").exists()


def test_an_adapter_has_the_tokenizer_of_its_base(apart: Artifact, tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    adapter = Artifact(tmp_path / "adapter", "hf-adapter", "k", base=apart)
    assert tokenizer_folder(adapter) == tmp_path / "tokenizer"
    copy_tokenizer(adapter, tmp_path / "out")
    assert names(tmp_path / "out") == {"tokenizer.json", "x.jinja"}


def test_a_tokenizer_takes_the_place_of_another_as_a_whole(apart: Artifact, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name in ("special_tokens_map.json", "vocab.json", "chat_template.jinja", "LICENSE"):
        (tmp_path / "out" / name).write_text("of the base")
    copy_tokenizer(apart, tmp_path / "out")
    assert names(tmp_path / "out") == {"LICENSE", "tokenizer.json", "x.jinja"}


@pytest.mark.parametrize(("config", "kept"), [({"chat_template": "{{ messages }}"}, False), ({}, True)])
def test_a_template_of_the_base_does_not_rule_over_the_tokenizers_own(
    tmp_path: Path, config: dict[str, str], kept: bool
) -> None:
    for folder in ("adapter", "out"):
        (tmp_path / folder).mkdir()
    (tmp_path / "out" / "chat_template.jinja").write_text("of the base")
    (tmp_path / "adapter" / "tokenizer.json").write_text("{}")
    (tmp_path / "adapter" / "tokenizer_config.json").write_text(json.dumps(config))
    copy_tokenizer(artifact(tmp_path / "adapter"), tmp_path / "out")
    assert (tmp_path / "out" / "chat_template.jinja").exists() == kept


def test_no_tokenizer_at_all_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no tokenizer"):
        copy_tokenizer(artifact(tmp_path), tmp_path / "out")


def test_a_model_beside_its_tokenizer_names_no_other_place() -> None:
    meta = Meta(task="x", tokenizer_path="/a", extra={"tokenizer_identity": "i", "precision": "int4"})
    assert meta_beside_tokenizer(meta) == Meta(task="x", extra={"precision": "int4"})
