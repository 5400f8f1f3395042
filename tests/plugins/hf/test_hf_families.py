"""Each row of FAMILIES is what transformers' own class of that type is: names, norms, gates, rotation."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from modelpress.api import Checkpoint
from modelpress.testing import make_tiny_model
from modelpress_plugins.hf.bare_model import open_config
from modelpress_plugins.hf.config import read_config
from modelpress_plugins.hf.families import FAMILIES, FUSED, Family, family_of, is_linear, role_of
from modelpress_plugins.quantize.quarot import rotate_model

_TYPES = """
    bloom cohere cohere2 ernie4_5 falcon gemma gemma2 gemma3_text glm4 gpt2 gpt_bigcode gpt_neox gpt_oss gptj
    granite llama mistral mixtral nemotron olmo olmo2 phi phi3 phimoe qwen2 qwen2_moe qwen3 qwen3_moe smollm3
    stablelm starcoder2
"""
MADE: dict[str, dict[str, Any]] = {
    **{model_type: {} for model_type in _TYPES.split()},
    "granitemoehybrid": {"layer_types": ["attention", "attention"]},
    "hunyuan_v1_dense": {"head_dim": 16},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "opt": {"ffn_dim": 96, "word_embed_proj_dim": 64},
    "qwen3_next": {"num_hidden_layers": 4, "head_dim": 32, "linear_num_key_heads": 2,
                   "linear_num_value_heads": 2, "linear_key_head_dim": 16, "linear_value_head_dim": 16},
}  # fmt: skip
"""model_type -> options that its config cannot do without, to be small."""

_NORM = re.compile(r"Norm(1P)?$")

NO_PROJECTION = ("conv", "linear_attn", "shared_expert_gate", "project_in", "project_out")
"""Parts of layers that no role describes."""


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of a tiny model of a type; each is made once."""

    @cache
    def make(model_type: str) -> Path:
        folder = tmp_path_factory.mktemp(model_type)
        return make_tiny_model(folder, architecture=model_type, spread=0.15, **MADE[model_type])

    return make


def modules_of(folder: Path) -> list[str]:
    """Modules of the checkpoint that have a matrix or more."""
    with Checkpoint(folder) as checkpoint:
        names = [name for name in checkpoint.names() if len(checkpoint.info(name).shape) > 1]
    return [name.removesuffix(".weight") for name in names]


@pytest.mark.parametrize("model_type", MADE)
def test_every_matrix_of_a_checkpoint_has_its_place(folder_of: Any, model_type: str) -> None:
    folder = folder_of(model_type)
    family, config = family_of(model_type), read_config(folder)
    assert family.known
    assert config.family == family
    assert config.layers == MADE[model_type].get("num_hidden_layers", 2)
    found: set[str] = set()
    for module in modules_of(folder):
        last = module.rpartition(".")[2]
        if last in (family.parts.embedding, family.parts.head, family.parts.positions):
            assert not is_linear(module)
        elif place := role_of(module, family):
            found.add(place.role)
            assert place.layer < config.layers
            assert is_linear(module)
        else:
            router = family.experts.router if family.experts else "no router"
            assert module.endswith((router, "_bias")) or any(name in module for name in NO_PROJECTION), module
    wanted = {*family.parts.roles, *(family.experts.roles if family.experts else ())}
    assert found == wanted


@pytest.mark.parametrize("model_type", MADE)
def test_what_a_norm_adds_to_its_weight(folder_of: Any, model_type: str) -> None:
    model = opened(folder_of(model_type))
    norms = [m for m in model.modules() if _NORM.search(type(m).__name__) and hasattr(m, "weight")]
    if not norms:
        assert family_of(model_type).norm_offset == 0
        return
    norm = norms[0]
    with torch.no_grad():
        norm.weight.zero_()
        if getattr(norm, "bias", None) is not None:
            norm.bias.zero_()
        size = float(norm(torch.randn(2, norm.weight.shape[-1])).abs().max())
    assert (size > 0) == (family_of(model_type).norm_offset == 1)


@pytest.mark.parametrize("model_type", MADE)
def test_a_gate_makes_the_network_linear_in_up(folder_of: Any, model_type: str) -> None:
    family = family_of(model_type)
    roles = family.parts.roles
    path = roles.get("up") or roles.get("gate_up")
    if path is None or family.experts is not None or "." not in path:
        pytest.skip("its feed-forward networks are experts, or no module of their own")
    model = opened(folder_of(model_type))
    layers = next(m for n, m in model.named_modules() if n.rpartition(".")[2] == family.parts.layers)
    network = layers[0].get_submodule(path.rpartition(".")[0])
    up = layers[0].get_submodule(path)
    x = torch.randn(1, 3, 64)
    with torch.no_grad():
        for module in network.modules():
            if getattr(module, "bias", None) is not None:
                module.bias.zero_()
        before = run(network, x)
        axis = 1 if type(up).__name__ == "Conv1D" else 0
        half = up.weight.shape[axis] // 2 if "gate_up" in roles else 0
        up.weight.narrow(axis, half, up.weight.shape[axis] - half).mul_(2)
        after = run(network, x)
    assert torch.allclose(after, 2 * before, rtol=1e-3, atol=1e-5) == family.gated


@pytest.mark.parametrize("model_type", [family.model_type for family in FAMILIES if family.rotatable])
def test_a_rotated_model_says_the_same(folder_of: Any, model_type: str, tmp_path: Path) -> None:
    folder = folder_of(model_type)
    rotate_model(folder, tmp_path, "hadamard", 0, lambda done, total, unit: None)
    ids = torch.arange(3, 60).unsqueeze(0)
    with torch.no_grad():
        expected, found = (opened(path)(ids).logits for path in (folder, tmp_path))
    assert float((found - expected).norm() / expected.norm()) < 1e-4


def test_a_type_without_a_row_is_taken_for_a_llama_and_says_so() -> None:
    family = family_of("unheard_of")
    assert not family.known
    assert family.parts == family_of("llama").parts
    assert not family.builds


def test_no_type_has_two_rows() -> None:
    types = [name for family in FAMILIES for name in (family.model_type, *family.also)]
    assert len(types) == len(set(types))


def test_the_language_model_of_a_multimodal_one_has_the_row() -> None:
    assert family_of("gemma3") is family_of("gemma3_text")


def test_experts_have_numbers_and_all_at_once_have_none() -> None:
    numbered = role_of("model.layers.3.block_sparse_moe.experts.2.w1", family_of("mixtral"))
    assert (numbered and (numbered.layer, numbered.role, numbered.expert)) == (3, "gate", 2)
    together = role_of("model.layers.0.mlp.experts.gate_up_proj", family_of("gpt_oss"))
    assert (together and (together.role, together.expert)) == ("gate_up", None)


def test_roles_are_those_that_plugins_know() -> None:
    known = {"q", "k", "v", "o", "gate", "up", "down", *FUSED}
    for family in FAMILIES:
        assert {*family.parts.roles, *(family.experts.roles if family.experts else ())} <= known


def test_a_row_is_all_that_a_new_architecture_needs(folder_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    families = "modelpress_plugins.hf.families"
    llama = family_of("llama")
    rows: dict[str, Family] = {"brand_new": replace(llama, model_type="brand_new")}
    monkeypatch.setattr(f"{families}._by_type", lambda: rows)
    document = json.loads((folder_of("llama") / "config.json").read_text(encoding="utf-8"))
    assert family_of(document["model_type"]).known is False
    places = [role_of(module, family_of("brand_new")) for module in modules_of(folder_of("llama"))]
    assert len([place for place in places if place]) == 14


def opened(folder: Path) -> Any:
    config = open_config(folder, trust_remote_code=False)
    return AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=torch.float32).eval()


def run(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Some networks are handed the residual too."""
    try:
        out = network(x)
    except TypeError:
        out = network(x, torch.zeros_like(x))
    return out if isinstance(out, torch.Tensor) else out[0]
