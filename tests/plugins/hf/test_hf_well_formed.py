"""Small files of a model that are broken are told before any work, with the file's name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelpress.api import UserError
from modelpress_plugins.hf.config import ModelConfig
from modelpress_plugins.hf.well_formed import require_numbers, require_well_formed


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("generation_config.json", '{"eos_token_id": 2,', "is not valid JSON"),
        ("generation_config.json", '{"eos_token_id": [1, "</s>"]}', "eos_token_id is"),
        ("tokenizer_config.json", "[]", "should hold a JSON object"),
        ("tokenizer_config.json", '{"model_max_length": [[]]}', "model_max_length is"),
        ("special_tokens_map.json", "version https://git-lfs.github.com/spec/v1", "is not valid JSON"),
        ("tokenizer.json", '{"version": "1.0", "model": {"ty', "it was cut"),
        ("tokenizer.json", "<html>404</html>", "it was cut"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=name) as told:
        require_well_formed(tmp_path)
    assert said in told.value.message


def test_whole_files_and_none_pass(tmp_path: Path, emotions_model: Path) -> None:
    require_well_formed(tmp_path)
    require_well_formed(emotions_model)
    require_numbers(emotions_model, ModelConfig(json.loads((emotions_model / "config.json").read_text())))


@pytest.mark.parametrize(
    "change",
    [{"vocab_size": "0x1F"}, {"num_attention_heads": []}, {"hidden_size": 0}, {"head_dim": True},
     {"max_position_embeddings": 2048.5}, {"eos_token_id": "-"}, {"text_config": "zzz"}],
)  # fmt: skip
def test_a_size_that_is_no_number_is_named(change: dict[str, object]) -> None:
    config = ModelConfig({"model_type": "phi3", "hidden_size": 64, **change})
    with pytest.raises(UserError, match=next(iter(change))):
        require_numbers(Path("model"), config)


def test_families_that_give_a_size_for_each_layer_are_left_alone() -> None:
    require_numbers(Path("model"), ModelConfig({"model_type": "openelm", "num_key_value_heads": [3, 4]}))
