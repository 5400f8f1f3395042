"""Quantizing without data: what is written, what is refused, and that genai's builder reads it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file

from modelpress.api import (
    Artifact,
    Checkpoint,
    CheckpointWriter,
    ModelFacts,
    ModelpressError,
    PassError,
    UserError,
)
from modelpress.testing import PassContract, RecordingPlan, input_artifact, make_tiny_model, pass_context
from modelpress_plugins.grids.grid import Grid
from modelpress_plugins.grids.half_quadratic import half_quadratic
from modelpress_plugins.grids.kquant import k_quant
from modelpress_plugins.grids.nearest import round_to_nearest
from modelpress_plugins.grids.stream import Rounder, quantize_checkpoint, stream_model
from modelpress_plugins.grids.targets import Choice
from modelpress_plugins.hf.quantized import QuantizedCheckpoint, read_weight
from modelpress_plugins.quantize.config import RtnConfig
from modelpress_plugins.quantize.plan import plan
from modelpress_plugins.quantize.run import quantize


class TestRtn(PassContract):
    pass_name = "Rtn"
    options: ClassVar = {"group_size": 16}
    bad_options: ClassVar = {"bits": 3}
    config_beyond_plan = frozenset(
        {
            "transformers_weights",
            *(f"quantization_config.{key}" for key in ("algorithm", "fused", "lm_head", "overrides", "tied")),
        }
    )
    """Modules that the group does not divide, and fused ones, are known from the checkpoint alone."""

    def make_input(self, folder: Path) -> Artifact:
        return input_artifact(make_tiny_model(folder), "hf-model")


class TestQuaRot(PassContract):
    pass_name = "QuaRot"

    def make_input(self, folder: Path) -> Artifact:
        return input_artifact(make_tiny_model(folder), "hf-model")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("llama"), dtype="bfloat16", attention_bias=True)


@pytest.fixture(scope="module")
def phi3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fused projections, grouped attention."""
    from transformers import Phi3Config, Phi3ForCausalLM

    folder = tmp_path_factory.mktemp("phi3")
    torch.manual_seed(0)
    config = Phi3Config(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, vocab_size=128, pad_token_id=0, max_position_embeddings=64,
        original_max_position_embeddings=64,
    )  # fmt: skip
    Phi3ForCausalLM(config).half().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("lm_head", [True, False])
@pytest.mark.parametrize("tied", [True, False])
def test_the_plan_knows_how_large_the_result_will_be(tmp_path: Path, tied: bool, lm_head: bool) -> None:
    folder = make_tiny_model(tmp_path / "model", dtype="bfloat16", tie_word_embeddings=tied)
    source = input_artifact(folder, "hf-model")
    config = RtnConfig.parse({"group_size": 16, "lm_head": lm_head})
    written = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    size = (folder / "model.safetensors").stat().st_size
    planned = plan(ModelFacts("hf-model", config=written, size=size), config, RecordingPlan()).size
    out = quantize(source, config, pass_context(tmp_path / "job", produces="hf-model")).path
    assert planned == pytest.approx((out / "model.safetensors").stat().st_size, rel=0.15)


def change(source: Path, target: Path, name: str, value: float) -> Path:
    shutil.copytree(source, target)
    tensors = load_file(source / "model.safetensors")
    tensors[name].view(-1)[3] = value
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("rounder", [round_to_nearest, k_quant, half_quadratic])
def test_every_tensor_reads_back_near_to_what_it_was(
    rounder: Rounder, symmetric: bool, phi3: Path, tmp_path: Path
) -> None:
    quantize_checkpoint(phi3, tmp_path / "q", rounder=rounder, symmetric=symmetric)
    before = load_file(phi3 / "model.safetensors")
    with QuantizedCheckpoint(tmp_path / "q") as after:
        assert set(after.names()) == set(before)
        for name, tensor in before.items():
            read = after.read(name).float()
            assert read.shape == tensor.shape
            # A 4-bit grid over 32 normal weights errs by some 8 % of their size.
            limit = 0.12 if "proj" in name or "lm_head" in name else 0
            assert float((read - tensor.float()).norm()) <= limit * float(tensor.float().norm())


def test_fused_projections_are_stored_as_their_parts(phi3: Path, tmp_path: Path) -> None:
    quantize_checkpoint(phi3, tmp_path / "q", symmetric=False)
    with Checkpoint(tmp_path / "q") as stored:
        assert stored.info("model.layers.0.self_attn.k_proj.qweight").shape == (32, 32)
        assert stored.info("model.layers.0.mlp.up_proj.qzeros").dtype == "U8"
        assert not any("qkv_proj" in name for name in stored.names())


def test_biases_norms_embeddings_and_files_beside_the_model_stay(llama: Path, tmp_path: Path) -> None:
    quantize_checkpoint(llama, tmp_path / "q")
    before, after = load_file(llama / "model.safetensors"), load_file(tmp_path / "q" / "model.safetensors")
    same = [n for n in before if n.endswith(".bias") or "norm" in n or "embed" in n]
    assert len(same) == 8 + 5 + 1
    assert all(torch.equal(before[n], after[n]) for n in same)
    assert (tmp_path / "q" / "tokenizer.json").read_bytes() == (llama / "tokenizer.json").read_bytes()


def test_a_tied_output_layer_is_quantized_beside_the_float_embedding(tmp_path: Path) -> None:
    source = make_tiny_model(tmp_path / "tied", tie_word_embeddings=True)
    quantize_checkpoint(source, tmp_path / "q")
    embedding = load_file(source / "model.safetensors")["model.embed_tokens.weight"]
    with QuantizedCheckpoint(tmp_path / "q") as after:
        assert after.config.tied
        assert torch.equal(after.read("model.embed_tokens.weight"), embedding)
        assert torch.equal(
            after.read("lm_head.weight"), round_to_nearest(embedding, Grid(4, 32, True)).dequantize()
        )


def test_a_group_that_does_not_divide_a_row_becomes_smaller(llama: Path, tmp_path: Path) -> None:
    report = quantize_checkpoint(llama, tmp_path / "q", block_size=64)  # down_proj has 96 inputs
    assert set(report.smaller_groups) == {f"model.layers.{i}.mlp.down_proj" for i in range(2)}
    overrides = json.loads((tmp_path / "q" / "config.json").read_text())["quantization_config"]["overrides"]
    assert overrides["model.layers.0.mlp.down_proj"]["group_size"] == 32


def test_rows_that_no_group_divides_are_refused_by_name(tmp_path: Path) -> None:
    source = make_tiny_model(tmp_path / "odd", intermediate_size=90)
    with pytest.raises(UserError, match=r"down_proj has 90 inputs"):
        quantize_checkpoint(source, tmp_path / "q")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["model.layers.1.mlp.up_proj.weight", "model.norm.weight"])
def test_nan_and_infinity_are_refused_by_name_and_leave_nothing(
    name: str, value: float, llama: Path, tmp_path: Path
) -> None:
    source = change(llama, tmp_path / "bad", name, value)
    with pytest.raises(ModelpressError, match=name.replace(".", r"\.")):
        quantize_checkpoint(source, tmp_path / "q")
    assert not list((tmp_path / "q").glob("*"))


def test_shards_in_odd_order_and_extra_tensors_change_nothing(llama: Path, tmp_path: Path) -> None:
    tensors = load_file(llama / "model.safetensors")
    odd = tmp_path / "odd"
    shutil.copytree(llama, odd, ignore=shutil.ignore_patterns("*.safetensors"))
    names = sorted(tensors, reverse=True)
    half = len(names) // 2
    tensors["extra.thing"] = torch.ones(3)
    tensors["model.layers.7.mlp.up_proj.weight"] = torch.ones(32, 64)
    files = {
        "model-00001-of-00002.safetensors": [*names[:half], "extra.thing"],
        "model-00002-of-00002.safetensors": [*names[half:], "model.layers.7.mlp.up_proj.weight"],
    }
    for file, inside in files.items():
        save_file({n: tensors[n] for n in inside}, odd / file)
    index = {"metadata": {}, "weight_map": {n: f for f, inside in files.items() for n in inside}}
    (odd / "model.safetensors.index.json").write_text(json.dumps(index))

    report = quantize_checkpoint(odd, tmp_path / "a")
    quantize_checkpoint(llama, tmp_path / "b")

    assert set(report.dropped) == {"extra.thing", "model.layers.7.mlp.up_proj.weight"}
    one, two = (
        load_file(tmp_path / "a" / "model.safetensors"),
        load_file(tmp_path / "b" / "model.safetensors"),
    )
    assert one.keys() == two.keys()
    assert all(torch.equal(one[n], two[n]) for n in one)


def test_a_quantized_model_is_not_quantized_again(llama: Path, tmp_path: Path) -> None:
    quantize_checkpoint(llama, tmp_path / "q")
    with pytest.raises(UserError, match="chosen is quantized already"):
        quantize_checkpoint(tmp_path / "q", tmp_path / "again")


def test_a_disk_that_fills_up_leaves_nothing(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = CheckpointWriter.write, []

    def full(self: CheckpointWriter, name: str, buffer: object) -> None:
        calls.append(name)
        if len(calls) > 9:
            raise self._failed(OSError(28, "No space left on device"))
        write(self, name, buffer)

    monkeypatch.setattr(CheckpointWriter, "write", full)
    with pytest.raises(ModelpressError, match="disk is full"):
        quantize_checkpoint(llama, tmp_path / "q")
    assert not list((tmp_path / "q").glob("*"))


def test_overrides_choose_bits_for_single_modules(llama: Path, tmp_path: Path) -> None:
    choice = Choice(
        Grid(4, 32, True), overrides={"lm_head": {"bits": 8}, r"re:.*\.down_proj": {"symmetric": False}}
    )
    stream_model(llama, tmp_path / "q", choice, round_to_nearest, "rtn", lambda *_: None)
    with QuantizedCheckpoint(tmp_path / "q") as stored:
        assert stored.codes("lm_head").grid == Grid(8, 32, True)
        assert stored.codes("model.layers.1.mlp.down_proj").zeros is not None
        assert stored.codes("model.layers.1.mlp.up_proj").zeros is None
    head = load_file(llama / "model.safetensors")["lm_head.weight"].float()
    assert float((read_weight(tmp_path / "q", "lm_head") - head).norm()) < 0.01 * float(head.norm())


@pytest.mark.parametrize("mode", ["hadamard", "random"])
def test_a_rotated_model_computes_the_same(mode: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    from modelpress_plugins.quantize.quarot import rotate_model

    # 96 = 3 * 32: no plain Hadamard matrix. Tied embeddings come apart; norms and biases are not trivial.
    source = make_tiny_model(
        tmp_path / "m", hidden_size=96, tie_word_embeddings=True, attention_bias=True, mlp_bias=True
    )
    tensors = load_file(source / "model.safetensors")
    for name, tensor in tensors.items():
        if "norm" in name:
            tensor.uniform_(0.5, 2)
        if name.endswith("bias"):
            tensor.normal_(0, 0.1)
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    rotate_model(source, tmp_path / "r", mode, 0, lambda *_: None)

    ids = torch.arange(20).view(1, 20)
    with torch.no_grad():
        before = AutoModelForCausalLM.from_pretrained(source).eval()(ids).logits
        after = AutoModelForCausalLM.from_pretrained(tmp_path / "r").eval()(ids).logits
    assert torch.allclose(before, after, atol=1e-5)  # float32 rounding
    moved = load_file(tmp_path / "r" / "model.safetensors")["model.layers.0.mlp.up_proj.weight"]
    assert not torch.allclose(moved, tensors["model.layers.0.mlp.up_proj.weight"], atol=1e-2)


def test_a_rotation_that_would_change_a_layer_is_refused_before_anything_is_written(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelpress_plugins.quantize import quarot

    heads = quarot.Rotation.heads
    monkeypatch.setattr(quarot.Rotation, "heads", lambda self, weight: heads(self, weight) * 1.01)
    with pytest.raises(PassError, match=r"model\.layers\.0 would not compute the same"):
        quarot.rotate_model(llama, tmp_path / "r", "hadamard", 0, lambda *_: None)
    assert not list(tmp_path.glob("r/*"))
