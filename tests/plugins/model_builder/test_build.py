"""Real models through the real builder, loaded in the real runtime."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM

from modelpress.api import Artifact, Checkpoint, Meta, PassError, UserError
from modelpress_plugins.grids.grid import Grid
from modelpress_plugins.grids.half_quadratic import half_quadratic
from modelpress_plugins.grids.stream import quantize_checkpoint, stream_model
from modelpress_plugins.grids.targets import Choice
from modelpress_plugins.hf.bare_model import open_config
from modelpress_plugins.hf.config import read_config
from modelpress_plugins.model_builder.check import check
from modelpress_plugins.model_builder.config import ModelBuilderOptions
from modelpress_plugins.model_builder.drive import BuilderWords
from modelpress_plugins.model_builder.genai import load
from modelpress_plugins.model_builder.graph import (
    attention_windows,
    read_graph,
    set_accuracy_level,
    shares_embedding,
)
from modelpress_plugins.model_builder.norms import exact_norms
from modelpress_plugins.model_builder.reference import reference_logits
from modelpress_plugins.model_builder.rounding import GraphWeights, modules
from modelpress_plugins.model_builder.run import build
from modelpress_plugins.model_builder.switches import texts
from modelpress_plugins.model_builder.verify import POSITIONS, relative_error, try_out

IDS = [1, 5, 60, 70, 80, 33, 44, 100, 101, 102, 120, 7]
Build = Callable[..., Artifact]


def float_logits(folder: Path) -> Any:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        return model(torch.tensor([IDS])).logits[0].numpy()


def genai_logits(artifact: Artifact) -> Any:
    model = load(artifact, "cpu")
    try:
        return model.logits(IDS)
    finally:
        model.close()


def test_fp32_gives_the_logits_of_transformers(tiny_phi3: Path, built: Build, context: Any) -> None:
    artifact = built(tiny_phi3, precision="fp32")
    assert relative_error(genai_logits(artifact), float_logits(tiny_phi3)) < 1e-4  # sums in another order
    assert context.reports["logits_error"] < 1e-4
    assert context.steps[-1] == (2, 2, "layers")


@pytest.mark.parametrize("precision", ["int4", "int8"])
@pytest.mark.parametrize("model", ["tiny_phi3", "tied_phi3"])
def test_streaming_gives_what_the_builder_itself_gives(
    precision: str, model: str, built: Build, context: Any, request: pytest.FixtureRequest
) -> None:
    source = request.getfixturevalue(model)
    streamed = genai_logits(built(source, precision=precision, streaming=True))
    shutil.rmtree(context.out)
    context.out.mkdir()
    own = genai_logits(built(source, precision=precision, streaming=False))
    assert relative_error(streamed, own) < 1e-5


@pytest.mark.parametrize("model", ["tiny_phi3", "tied_phi3"])
def test_zero_points_survive_the_streaming_path(
    model: str, built: Build, context: Any, request: pytest.FixtureRequest
) -> None:
    built(request.getfixturevalue(model), precision="int4", is_symmetric=False, block_size=16)
    assert context.reports["logits_error"] < 0.1  # 8-bit activations: 2 to 4 % on this model
    told = [note for note in context.notes if "ties its embeddings" in note]
    assert (context.notes, len(told)) == (told, int(model == "tied_phi3"))


def test_a_tied_head_that_stays_in_float_is_no_alarm(
    tied_phi3: Path, tmp_path: Path, built: Build, context: Any
) -> None:
    """`lm_head: false`: the builder rounds the head by itself, and looks ids up in the float embedding."""
    choice = Choice(Grid(4, 16, False), lm_head=False, embeds=False)
    stream_model(tied_phi3, tmp_path / "q", choice, half_quadratic, "hqq", lambda *_: None)
    artifact = built(tmp_path / "q", precision="int4")
    assert not shares_embedding(artifact.path / "model.onnx")
    assert context.reports["logits_error"] < 0.1
    assert context.notes == []


@pytest.mark.parametrize(("shared", "told"), [(None, True), ("false", False)])
def test_what_becomes_of_a_tied_embedding_is_told_and_chosen(
    shared: str | None, told: bool, tied_phi3: Path, built: Build, context: Any
) -> None:
    extra = {"shared_embeddings": shared} if shared else {}
    artifact = built(tied_phi3, precision="int4", extra_options=extra)
    assert shares_embedding(artifact.path / "model.onnx") == told
    assert any("`extra_options: {shared_embeddings: false}`" in note for note in context.notes) == told
    assert context.reports["logits_error"] < 0.1


@pytest.mark.parametrize(("embeds", "bits"), [(False, 4), (True, 4), (True, 8)])
def test_a_tied_embedding_is_what_the_quantizer_says(
    embeds: bool, bits: int, tied_phi3: Path, tmp_path: Path, built: Build, context: Any
) -> None:
    overrides = {"lm_head": {"bits": bits}}
    choice = Choice(Grid(4, 16, False), lm_head=True, embeds=embeds, overrides=overrides)
    stream_model(tied_phi3, tmp_path / "q", choice, half_quadratic, "hqq", lambda *_: None)
    artifact = built(tmp_path / "q", precision="int4")
    assert shares_embedding(artifact.path / "model.onnx") == embeds
    assert context.reports["logits_error"] < 0.1
    assert context.notes == []


def test_a_quantized_model_is_repacked_as_it_is(
    tiny_phi3: Path, tmp_path: Path, built: Build, context: Any
) -> None:
    quantize_checkpoint(tiny_phi3, tmp_path / "q", rounder=half_quadratic, block_size=16, symmetric=False)
    built(tmp_path / "q", precision="int4")
    assert context.reports["logits_error"] < 0.1


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("Llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}}),
        ("Qwen2", {}),
        ("Qwen3", {"head_dim": 16}),
        ("Mistral", {"sliding_window": None}),
        ("Gemma2", {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 64}),
        ("Granite", {"embedding_multiplier": 2.0, "logits_scaling": 3.0}),
        ("Nemotron", {"head_dim": 32}),
    ],
)
def test_other_architectures_stream_too(
    name: str, changes: dict[str, Any], tiny_phi3: Path, tmp_path: Path, built: Build, context: Any
) -> None:
    written = json.loads((tiny_phi3 / "config.json").read_text())
    kept = {
        key: written[key]
        for key in (
            "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size",
            "num_key_value_heads", "max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id",
        )
    }  # fmt: skip
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**kept, **changes)
    model = getattr(transformers, f"{name}ForCausalLM")(config)
    for parameter in model.parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=0.1)
    model.to(torch.float16).save_pretrained(tmp_path / name)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_phi3 / file, tmp_path / name)
    built(tmp_path / name, precision="int4", streaming=True)
    assert context.reports["logits_error"] < 0.1


METHODS = [
    {"streaming": False},
    *({"algo_config": name} for name in ("k_quant", "k_quant_mixed", "rtn_last")),
]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: str(next(iter(m.values()))))
def test_what_the_builder_rounds_is_held_against_its_source_by_its_weights(
    method: dict[str, Any], tiny_phi3: Path, built: Build, context: Any, tmp_path: Path
) -> None:
    artifact = built(tiny_phi3, precision="int4", **method)
    graph = artifact.path / "model.onnx"
    with Checkpoint(tiny_phi3) as checkpoint:
        weights = GraphWeights(graph, checkpoint, read_config(tiny_phi3))
        off = {module: weights.compare(module) for module in modules(checkpoint)}
        assert off.pop("model.embed_tokens") == 0
        assert all(0.3 < each < 1.5 for each in off.values())
        same = reference_logits(tiny_phi3, IDS, replaced=weights.rows)
    assert relative_error(genai_logits(artifact), same) < 0.1  # 8-bit activations
    set_accuracy_level(graph, 0)
    assert relative_error(genai_logits(artifact), same) < 1e-4


def test_an_embedding_that_the_builder_rounds_by_itself_is_compared_by_logits(
    tiny_phi3: Path, built: Build, context: Any
) -> None:
    built(tiny_phi3, precision="int4", op_types_to_quantize=["MatMul", "Gather"])
    assert context.reports["rounding_error"] > context.reports["logits_error"]


def test_one_block_that_the_builder_rounds_wrongly_is_found(tiny_phi3: Path, built: Build) -> None:
    artifact = built(tiny_phi3, precision="int4", algo_config="k_quant")
    graph = artifact.path / "model.onnx"
    name = "1.mlp.down_proj.MatMul.weight_scale"
    (scales,) = (tensor for tensor in read_graph(graph).graph.initializer if name in tensor.name)
    place = {entry.key: entry.value for entry in scales.external_data}
    data = np.memmap(graph.parent / place["location"], np.float32, "r+", int(place["offset"]), (9,))
    data[7] *= -1
    data.flush()
    with Checkpoint(tiny_phi3) as checkpoint:
        weights = GraphWeights(graph, checkpoint, read_config(tiny_phi3))
        with pytest.raises(PassError, match=r"rounded model.layers.1.mlp.down_proj wrongly"):
            weights.compare("model.layers.1.mlp.down_proj")
        assert weights.compare("model.layers.0.mlp.down_proj") < 1.5


@pytest.mark.parametrize("precision", ["fp32", "int4"])
def test_norms_that_add_one_are_as_exact_as_in_transformers(
    precision: str, tiny_phi3: Path, tmp_path: Path, built: Build, context: Any
) -> None:
    written = json.loads((tiny_phi3 / "config.json").read_text())
    kept = {
        key: written[key] for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
    }
    torch.manual_seed(0)
    sizes = {**kept, "intermediate_size": 128, "head_dim": 16, "num_key_value_heads": 2, "eos_token_id": 2}
    model = transformers.GemmaForCausalLM(transformers.GemmaConfig(**sizes, max_position_embeddings=256))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    source = tmp_path / "gemma"
    model.to(torch.bfloat16).save_pretrained(source)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_phi3 / file, source)
    artifact = built(source, precision=precision)
    if precision == "fp32":
        assert context.reports["logits_error"] < 1e-4  # 0.005 with 1 + weight in bfloat16
    assert exact_norms(artifact.path / "model.onnx", source, 1.0) == 0


def test_what_the_builder_warns_of_is_kept_once() -> None:
    words = BuilderWords(lambda *_: None)
    words.write("WARNING: It loses accuracy.\nReading layer 0\nWARNING: It loses accuracy.\n")
    words.write("Warning: could not read generation_config.json (none). Falling back to config.json.\n")
    assert words.warnings == ["It loses accuracy."]


def test_longrope_as_transformers_5_writes_it_streams(
    tmp_path: Path, tiny_phi3: Path, built: Build, context: Any
) -> None:
    folder = shutil.copytree(tiny_phi3, tmp_path / "longrope")
    config = json.loads((folder / "config.json").read_text())
    config["original_max_position_embeddings"] = 128
    config["rope_parameters"] = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0] * 8,
        "long_factor": [2.0] * 8,
        "original_max_position_embeddings": 128,
    }
    (folder / "config.json").write_text(json.dumps(config))
    built(folder, precision="int4")
    assert context.reports["logits_error"] < 0.1


@pytest.mark.parametrize("options", [{"precision": "int4"}, {"precision": "fp32"}])
def test_a_tokenizer_that_lies_apart_comes_with_the_model(
    tiny_phi3: Path, tmp_path: Path, context: Any, options: dict[str, Any]
) -> None:
    model, tokenizer = tmp_path / "model", tmp_path / "tokenizer"
    shutil.copytree(tiny_phi3, model, ignore=shutil.ignore_patterns("tokenizer*", "special_tokens*"))
    shutil.copytree(tiny_phi3, tokenizer, ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
    source = Artifact(model, "hf-model", "key", meta=Meta(tokenizer_path=str(tokenizer)))
    artifact = build(source, ModelBuilderOptions.parse(options), context)
    assert (artifact.path / "tokenizer.json").is_file()
    assert not artifact.meta.tokenizer_path
    assert not (model / "tokenizer.json").exists()


def test_options_of_the_builders_own_method_fall_back_and_say_so(
    tiny_phi3: Path, built: Build, context: Any
) -> None:
    built(tiny_phi3, precision="int4", algo_config="k_quant_mixed")
    assert "k_quant_mixed" in context.notes[0]
    assert context.reports["logits_error"] < 0.1


def test_search_defaults_are_written(tiny_phi3: Path, built: Build) -> None:
    artifact = built(tiny_phi3, precision="fp32", search={"max_length": 99, "temperature": 0.5})
    search = json.loads((artifact.path / "genai_config.json").read_text())["search"]
    assert (search["max_length"], search["temperature"]) == (99, 0.5)
    check(artifact.path)


def test_a_model_without_a_head_is_loaded_but_not_asked(tiny_phi3: Path, built: Build, context: Any) -> None:
    built(tiny_phi3, precision="fp32", exclude_lm_head=True)
    assert "cannot be asked" in context.notes[-1]


def test_the_builders_refusal_is_told_in_its_words(tiny_phi3: Path, built: Build) -> None:
    with pytest.raises(PassError, match="paged_block_size"):
        built(tiny_phi3, precision="fp32", extra_options={"use_paged_attention": True, "paged_block_size": 7})


def test_nan_in_a_weight_names_the_tensor(tiny_phi3: Path, tmp_path: Path, built: Build) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny_phi3, tmp_path / "nan")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.mlp.down_proj.weight"][3, 5] = float("nan")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"layers\.1\.mlp\.down_proj"):
        built(folder, precision="int4")


def test_logits_are_finite_and_float32(fp32_folder: Path) -> None:
    logits = genai_logits(Artifact(fp32_folder, "ort-genai", "key"))
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("precision", ["fp32", "int4"])
def test_a_sliding_window_holds_past_its_end(
    precision: str, phi3: Callable[..., Path], built: Build, context: Any
) -> None:
    source = phi3(sliding_window=32)
    artifact = built(source, precision=precision)
    assert attention_windows(artifact.path / "model.onnx") == [32, 32]
    assert context.reports["logits_error"] < (1e-4 if precision == "fp32" else 0.1)
    assert len(try_out(artifact, context, device="cpu").ids) == POSITIONS


def test_longrope_of_transformers_5_is_built_and_compared_on_both_sides_of_its_switch(
    phi3: Callable[..., Path], built: Build, context: Any
) -> None:
    factors = {"short_factor": [1.0 + i / 10 for i in range(8)], "long_factor": [2.0**i for i in range(8)]}
    rope = {"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 64, **factors}
    source = phi3(original_max_position_embeddings=64, rope_parameters=rope)
    built(source, precision="fp32")
    assert context.reports["logits_error"] < 1e-4
    config = open_config(source, trust_remote_code=False)
    planned, missed = texts(config)
    assert ([text.length for text in planned], missed) == ([64, POSITIONS], [])
    assert planned[1].affordable(1000, seconds_per_token=99.0)
    assert planned[1].affordable(10**10, seconds_per_token=0.1)
    assert not planned[1].affordable(10**10, seconds_per_token=3.0)


def test_a_window_that_no_memory_suffices_to_reach_past_is_told(
    phi3: Callable[..., Path], built: Build, context: Any
) -> None:
    source = phi3(
        sliding_window=20_000, max_position_embeddings=30_000, original_max_position_embeddings=30_000
    )
    artifact = built(source, precision="fp32")
    assert attention_windows(artifact.path / "model.onnx") == [20_000, 20_000]
    assert "Positions past 20,000" in context.notes[-1]


@pytest.mark.parametrize("precision", ["fp32", "int4"])
def test_a_head_that_gives_the_last_logits_alone_is_compared_there(
    precision: str, tiny_phi3: Path, built: Build, context: Any
) -> None:
    """prune_lm_head: a prompt gets one row of logits. All rows can still be had, one by one."""
    artifact = built(tiny_phi3, precision=precision, extra_options={"prune_lm_head": "true"})
    assert context.reports["logits_error"] < (1e-4 if precision == "fp32" else 0.1)
    found = genai_logits(artifact)
    if precision == "fp32":
        assert relative_error(found, float_logits(tiny_phi3)) < 1e-4


def test_a_model_with_images_is_compared_by_the_names_that_transformers_gives(
    tmp_path: Path, tiny_phi3: Path, built: Build, context: Any
) -> None:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
    text = {
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rope_parameters": rope,
        "max_position_embeddings": 256,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64,
              "fullatt_block_indexes": [1]}  # fmt: skip
    torch.manual_seed(0)
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision)
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(tmp_path / "images")
    for file in tiny_phi3.glob("tokenizer*"):
        shutil.copy(file, tmp_path / "images")
    built(tmp_path / "images", precision="fp32")
    assert context.notes == []
    assert context.reports["logits_error"] < 1e-3
