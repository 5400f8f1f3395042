"""Models for machines that are not this one: built here, and compared here as far as they can be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from modelpress.api import Accelerator, Artifact, PassError, UserError
from modelpress_plugins.model_builder.genai import load
from modelpress_plugins.model_builder.prove import Built, prove
from modelpress_plugins.model_builder.targets import PRECISIONS, PROVIDERS

from .conftest import TINY, save_phi3, save_tokenizer

Build = Callable[..., Artifact]
RUNTIME_NAMES = {"cuda": "cuda", "dml": "dml", "webgpu": "webgpu", "NvTensorRtRtx": "NvTensorRtRtx"}
CLOSE = {"fp32": 1e-3, "fp16": 0.01, "bf16": 0.03, "int8": 0.01, "int4": 0.01}
"""How far logits may be off on this CPU: what rounding to 16 bits explains. int8 and int4 are compared with
the same rounded weights, in fp32 products over fp16 activations."""
COMBINATIONS = [
    (provider, precision) for provider in RUNTIME_NAMES for precision in sorted(PRECISIONS[provider])
]


def target(provider: str) -> Accelerator:
    return Accelerator("gpu", next(name for name, short in PROVIDERS.items() if short == provider))


def elsewhere(context: Any, provider: str) -> None:
    context.accelerator, context.target_is_here = target(provider), False


@pytest.mark.parametrize(("provider", "precision"), COMBINATIONS)
def test_each_target_is_built_told_and_compared_on_the_cpu(
    provider: str, precision: str, tiny_phi3: Path, built: Build, context: Any
) -> None:
    elsewhere(context, provider)
    made = built(tiny_phi3, precision=precision)
    assert context.reports["logits_error"] < CLOSE[precision]
    assert f"Built for {context.accelerator.execution_provider}; not run here" in context.notes[-1]
    decoder = json.loads((made.path / "genai_config.json").read_text())["model"]["decoder"]
    options = decoder["session_options"]["provider_options"]
    assert [name for entry in options for name in entry] == [RUNTIME_NAMES[provider]]
    assert list(context.scratch.glob("twin*")) == []
    graph = onnx.load(made.path / "model.onnx", load_external_data=False).graph
    scales = {node.input[2] for node in graph.node if node.op_type == "MatMulNBits"}
    flat = [t.name for t in graph.initializer if t.name in scales and len(t.dims) != 2]
    assert flat == []  # DirectML takes no others


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("provider", sorted(RUNTIME_NAMES))
def test_a_shared_embedding_is_right_for_each_target(
    provider: str, symmetric: bool, tied_phi3: Path, built: Build, context: Any
) -> None:
    elsewhere(context, provider)
    built(tied_phi3, precision="int4", is_symmetric=symmetric)
    assert context.reports["logits_error"] < CLOSE["int4"]


@pytest.mark.parametrize("provider", sorted(RUNTIME_NAMES))
@pytest.mark.parametrize("model", ["tiny_phi3", "tied_phi3"])
def test_what_the_builder_itself_rounds_is_compared_for_each_target(
    provider: str, model: str, built: Build, context: Any, request: pytest.FixtureRequest
) -> None:
    elsewhere(context, provider)
    built(request.getfixturevalue(model), precision="int4", streaming=False)
    assert context.reports["logits_error"] < 0.05  # of the same rounding in float32
    assert "gives the logits of its source" in context.notes[-1]


@pytest.mark.parametrize("provider", ["cuda", "dml", "NvTensorRtRtx"])
def test_fp32_is_refused_where_the_builder_still_writes_a_graph_that_does_not_load(
    provider: str, tiny_phi3: Path, built: Build, context: Any
) -> None:
    elsewhere(context, provider)
    with pytest.raises(PassError, match="invalid model"):
        built(tiny_phi3, precision="fp32")


@pytest.mark.parametrize("provider", ["cuda", "webgpu", "dml"])
@pytest.mark.parametrize("precision", ["fp16", "int4"])
def test_norms_inside_attention_are_computed_beside_it(
    provider: str, precision: str, tmp_path: Path, built: Build, context: Any
) -> None:
    """CUDA and WebGPU norm queries and keys inside GroupQueryAttention, which no CPU kernel does."""
    folder = tmp_path / "qwen3"
    torch.manual_seed(0)
    size = save_tokenizer(folder)
    model = Qwen3ForCausalLM(Qwen3Config(**{**TINY, "head_dim": 32, "vocab_size": size}))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "q_norm" in name or "k_norm" in name:
                parameter.uniform_(0.5, 2)
    model.to(torch.float16).save_pretrained(folder)
    elsewhere(context, provider)
    built(folder, precision=precision)
    assert context.reports["logits_error"] < CLOSE[precision]
    assert "gives the logits of its source" in context.notes[-1]


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_weights_that_are_not_the_sources_are_found(
    precision: str, tiny_phi3: Path, tmp_path: Path, built: Build, context: Any
) -> None:
    from modelpress_plugins.model_builder.config import ModelBuilderOptions

    elsewhere(context, "cuda")
    made = built(tiny_phi3, precision=precision, verify="never")
    assert "not compared" in context.notes[-1]
    other = save_phi3(tmp_path / "other", initializer_range=0.1)
    wrong = Built(made, made.path / "model.onnx", other, False, "cuda", False)
    with pytest.raises(PassError, match="does not compute what its source says"):
        prove(wrong, ModelBuilderOptions.parse({"precision": precision}), context)


def test_a_target_that_has_to_be_tried_is_refused_where_it_is_not(
    tiny_phi3: Path, built: Build, context: Any
) -> None:
    elsewhere(context, "cuda")
    with pytest.raises(PassError, match="verify is required"):
        built(tiny_phi3, precision="fp16", verify="required")


def test_a_model_for_the_cpu_does_not_answer_in_the_place_of_a_gpu(fp32_folder: Path) -> None:
    with pytest.raises(UserError, match="built for the CPU"):
        load(Artifact(fp32_folder, "ort-genai", "key"), "gpu")
