"""What config.json says, whatever names it has for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelpress.api import UserError
from modelpress_plugins.hf.config import (
    ModelConfig,
    changed_document,
    read_adapter_config,
    read_config,
    read_float_config,
    write_json,
)

PHI3V = {"model_type": "phi3_v", "auto_map": {"AutoConfig": "configuration_phi3_v.Phi3VConfig"}}


def test_a_multimodal_model_answers_for_its_language_model() -> None:
    config = ModelConfig(
        {
            "model_type": "gemma3",
            "architectures": ["Gemma3ForConditionalGeneration"],
            "dtype": "bfloat16",
            "text_config": {"model_type": "gemma3_text", "hidden_size": 64, "num_hidden_layers": 3},
        }
    )
    assert (config.model_type, config.hidden_size, config.layers) == ("gemma3_text", 64, 3)
    assert (config.architecture, config.dtype) == ("Gemma3ForConditionalGeneration", "bfloat16")


@pytest.mark.parametrize(
    ("document", "dtype", "item_bytes"),
    [
        ({"dtype": "float32"}, "float32", 4),
        ({"torch_dtype": "float16"}, "float16", 2),
        ({"dtype": "torch.bfloat16"}, "bfloat16", 2),
        ({}, "", 2),
    ],
)
def test_the_dtype_has_two_names(document: dict[str, Any], dtype: str, item_bytes: int) -> None:
    config = ModelConfig(document)
    assert (config.dtype, config.item_bytes) == (dtype, item_bytes)


def test_sizes_have_older_names() -> None:
    config = ModelConfig({"n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024})
    assert (config.hidden_size, config.layers, config.head_size, config.context_length) == (768, 12, 64, 1024)


def test_what_is_not_said_is_nothing() -> None:
    config = ModelConfig({})
    assert (config.hidden_size, config.head_size, config.kv_heads, config.vocabulary) == (0, 0, 0, 0)
    assert (config.architecture, config.model_type, config.quant_method, config.tied) == ("", "", "", None)
    assert config.rotary_share == 1
    assert not config.quantization


@pytest.mark.parametrize(
    ("document", "tied"),
    [
        ({"tie_word_embeddings": True}, True),
        ({"text_config": {"tie_word_embeddings": False}}, False),
        ({"tie_word_embeddings": None}, None),
    ],
)
def test_whether_head_and_embedding_are_one(document: dict[str, Any], tied: bool | None) -> None:
    assert ModelConfig(document).tied is tied


def test_untying_says_so_wherever_it_was_said() -> None:
    config = ModelConfig({"x": 1, "text_config": {"tie_word_embeddings": True, "y": 2}})
    assert changed_document(config, untied=True) == {
        "x": 1,
        "tie_word_embeddings": False,
        "text_config": {"tie_word_embeddings": False, "y": 2},
    }


def test_a_vocabulary_has_its_size_where_it_was_said() -> None:
    inner = ModelConfig({"x": 1, "text_config": {"vocab_size": 5}})
    assert changed_document(inner, vocabulary=7) == {"x": 1, "text_config": {"vocab_size": 7}}
    assert changed_document(ModelConfig({"vocab_size": 5}), vocabulary=7) == {"vocab_size": 7}


def test_rotary_embedding_is_described_under_two_names() -> None:
    for key in ("rope_parameters", "rope_scaling"):
        config = ModelConfig({key: {"rope_type": "longrope", "partial_rotary_factor": 0.5}})
        assert (config.rope["rope_type"], config.rotary_share) == ("longrope", 0.5)


def test_code_is_needed_only_where_transformers_has_none() -> None:
    own = ModelConfig(PHI3V)
    assert own.needed_code == own.code_files == ("configuration_phi3_v.py",)
    native = ModelConfig({**PHI3V, "model_type": "phi3"})
    assert native.code_files
    assert native.needed_code == ()


def test_code_of_another_repository_is_named_with_it() -> None:
    config = ModelConfig({"auto_map": {"AutoTokenizer": ["org/other--tok.Slow", None]}})
    assert config.code_files == ("org/other--tok.py",)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[1]", "should hold a JSON object"),
        ("{", "is not valid JSON"),
        (None, "has no config.json"),
    ],
)
def test_a_damaged_file_is_told(tmp_path: Path, content: str | None, told: str) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=told):
        read_config(tmp_path)


def test_an_adapter_in_a_models_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError) as caught:
        read_config(tmp_path)
    assert "adapter_path" in caught.value.hint
    with pytest.raises(UserError, match="does not name its peft_type"):
        read_adapter_config(tmp_path)


def test_a_quantized_model_is_refused_where_floats_are_needed(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"quantization_config": {"quant_method": "gptq"}})
    with pytest.raises(UserError, match="already quantized \\(by gptq\\)"):
        read_float_config(tmp_path)


def test_what_is_written_is_read_as_it_was(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"name": "Größe", "n": 1})
    text = (tmp_path / "config.json").read_text(encoding="utf-8")
    assert "Größe" in text
    assert text.endswith("}\n")
    assert read_config(tmp_path).document == json.loads(text)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (
            {"architectures": ["WhisperForConditionalGeneration"], "is_encoder_decoder": True},
            "an encoder with",
        ),
        ({"architectures": ["BertForMaskedLM"], "model_type": "bert", "is_decoder": False}, "no model that"),
        ({"architectures": ["LlamaForSequenceClassification"], "model_type": "llama"}, "no model that"),
        ({"architectures": ["BertModel"], "model_type": "bert"}, "no model that"),
        ({"architectures": ["BertLMHeadModel"], "model_type": "bert", "is_decoder": True}, ""),
        ({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}, ""),
        ({"architectures": ["LlamaModel"], "model_type": "llama"}, ""),
        ({"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3"}, ""),
        ({}, ""),
    ],
    ids=str,
)
def test_what_does_not_continue_a_text_is_told_apart(document: Any, told: str) -> None:
    kind = ModelConfig(document).other_kind
    assert kind.startswith(told)
    assert bool(kind) == bool(told)
