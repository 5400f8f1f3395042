"""Every problem is found from config.json, before any work, without heavy imports."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from modelpress.api import Accelerator, ModelFacts
from modelpress_plugins.hf.config import ModelConfig
from modelpress_plugins.model_builder import faults
from modelpress_plugins.model_builder.config import ModelBuilderOptions
from modelpress_plugins.model_builder.plan import plan, streaming_obstacle

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 2048,
    "num_attention_heads": 32,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "dtype": "bfloat16",
}


class Planned:
    """A PlanContext that remembers."""

    offline = True

    def __init__(self, accelerator: Accelerator) -> None:
        self.device = "cpu"
        self.accelerator = accelerator
        self.target_is_here = True
        self.notes: list[str] = []
        self.problems: list[tuple[str, str, str]] = []
        self.memory = 0

    def problem(self, message: str, hint: str = "", *, option: str = "", kind: str = "input") -> None:
        self.problems.append((message, hint, option))

    def note(self, message: str) -> None:
        self.notes.append(message)

    def needs(self, *, memory: int = 0) -> None:
        self.memory = memory

    def data(self, role: str) -> None:
        return None


def planned(
    config: dict[str, Any] | None = None,
    provider: str = "CPUExecutionProvider",
    here: bool = True,
    **options: Any,
) -> tuple[Planned, ModelFacts]:
    context = Planned(Accelerator("cpu", provider))
    context.target_is_here = here
    facts = ModelFacts("hf-model", config=LLAMA | (config or {}), size=2_500_000_000)
    given = ModelBuilderOptions.parse({"precision": "int4", **options})
    return context, plan(facts, given, context)


def test_a_good_step_has_no_problems_and_tells_its_size() -> None:
    context, facts = planned()
    assert (context.problems, context.notes) == ([], [])
    assert facts.format == "ort-genai"
    assert facts.path is None
    assert 1.2e9 < facts.size < 2.2e9  # 1.0 G weights of 5 bits, 0.26 G of the embedding in fp32
    assert context.memory < 5.5e9


def test_the_builders_own_path_is_known_to_take_more_memory() -> None:
    own, _ = planned(streaming=False)
    assert own.memory > 9e9  # 10.4 GB were measured for a Llama of 2.5 GB


@pytest.mark.parametrize(
    ("config", "options", "said", "option"),
    [
        ({"architectures": ["LlamaForCausalLm"]}, {}, "LlamaForCausalLm", ""),
        ({"architectures": ["GPT2LMHeadModel"]}, {}, "GPT2LMHeadModel", ""),
        ({"architectures": []}, {}, "no architecture", ""),
        ({}, {"block_size": 48}, "48", "block_size"),
        ({}, {"block_size": 512}, "512", "block_size"),
        ({}, {"precision": "fp16"}, "no fp16 for CPU", "precision"),
        ({}, {"precision": "fp32", "block_size": 32}, "quantization", "block_size"),
        ({}, {"metadata_only": True}, "metadata_only", "metadata_only"),
        ({}, {"search": {"max_lenght": 9}}, "max_lenght", "search.max_lenght"),
        ({}, {"search": {"max_length": 9000}}, "8192", "search.max_length"),
        ({}, {"extra_options": {"int4_block_size": 32}}, "of this pass", "extra_options.int4_block_size"),
        ({}, {"streaming": True, "algo_config": "k_quant"}, "k_quant", "streaming"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, {}, "bitsandbytes", ""),
        (
            {"quantization_config": {"quant_method": "olive", "group_size": 64}},
            {"block_size": 32},
            "already with 64",
            "block_size",
        ),
        (
            {"quantization_config": {"quant_method": "olive", "group_size": 64}},
            {"precision": "fp32"},
            "float weights",
            "precision",
        ),
        ({"auto_map": {"AutoModel": "x.Y"}, "architectures": ["ChatGLMModel"]}, {}, "its own code", ""),
        ({"head_dim": 20}, {}, "multiple of 16", ""),
    ],
)
def test_a_problem_is_told_with_its_option(
    config: dict[str, Any], options: dict[str, Any], said: str, option: str
) -> None:
    context, _ = planned(config, **options)
    assert any(said in message and option == at for message, _, at in context.problems), context.problems


def test_a_misspelt_architecture_and_default_suggest_the_nearest() -> None:
    context, _ = planned({"architectures": ["LlamaForCausalLm"]}, search={"max_lenght": 9})
    assert any("LlamaForCausalLM?" in hint for _, hint, _ in context.problems)
    assert any("max_length?" in hint for _, hint, _ in context.problems)


def test_all_problems_are_told_at_once() -> None:
    context, _ = planned({"architectures": ["GPT2LMHeadModel"]}, block_size=7, metadata_only=True)
    assert len(context.problems) == 3


def test_a_precision_that_the_target_has_not_is_told_with_those_that_it_has() -> None:
    context, _ = planned(provider="WebGpuExecutionProvider", precision="bf16")
    assert context.problems[0] == (
        "The builder has no bf16 for WebGpuExecutionProvider.",
        "There it has fp16, fp32, int4, int8.",
        "precision",
    )


def test_a_target_that_is_not_here_is_told_and_refused_where_trying_is_required() -> None:
    context, _ = planned(provider="WebGpuExecutionProvider", here=False)
    assert context.problems == []
    assert "There is no WebGpuExecutionProvider here" in context.notes[0]
    context, _ = planned(provider="WebGpuExecutionProvider", here=False, verify="required")
    assert [option for _, _, option in context.problems] == ["verify"]
    assert planned(verify="required")[0].problems == []


def test_phi3s_own_code_needs_no_trust() -> None:
    config = {"auto_map": {"AutoModel": "modeling_phi3.Phi3"}, "model_type": "phi3"}
    context, _ = planned({**config, "architectures": ["Phi3ForCausalLM"]})
    assert context.problems == []


@pytest.mark.parametrize(("bits", "precision"), [(4, "int8"), (8, "int4")])
def test_bits_of_a_quantized_model_are_not_labelled_otherwise(bits: int, precision: str) -> None:
    model = {"quantization_config": {"quant_method": "olive", "group_size": 32, "bits": bits}}
    said, hint, option = planned(model, precision=precision)[0].problems[0]
    assert f"quantized already to {bits} bits" in said
    assert (f"int{bits}" in hint, option) == (True, "precision")
    assert planned(model, precision=f"int{bits}")[0].problems == []


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"architectures": ["OlmoForCausalLM"]}, "onnxruntime-genai 0.18"),
        ({"architectures": ["SmolLM3ForCausalLM"], "no_rope_layers": [1, 0]}, "without rotary embedding"),
        ({"architectures": ["Gemma3ForCausalLM"]}, "transformers 5."),
    ],
)
def test_what_upstream_breaks_is_told_with_its_version_and_tried_with_another(
    config: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said in planned(config)[0].problems[0][0]
    monkeypatch.setattr(faults, "version", lambda name: "99.0")
    assert planned(config)[0].problems == []


def test_gpt_oss_in_float_is_refused_for_4_bits_and_built_in_float() -> None:
    model = {"architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss"}
    message, hint, _ = planned(model, precision="int4")[0].problems[0]
    assert "a checkpoint in mxfp4 alone" in message
    assert hint == "Start from the model as it was published, in mxfp4, or set precision to fp32."
    assert planned(model, precision="fp32")[0].problems == []


@pytest.mark.parametrize(("method", "precision"), [("mxfp4", "int4"), ("mxfp4", "fp32"), ("fp8", "int8")])
def test_what_stands_for_a_float_model_is_planned_as_that(method: str, precision: str) -> None:
    name = "GptOssForCausalLM" if method == "mxfp4" else "Qwen3ForCausalLM"
    model = {"architectures": [name], "quantization_config": {"quant_method": method}, "head_dim": 64}
    context, facts = planned(model, precision=precision)
    assert context.problems == []
    assert not ModelConfig(facts.config).quantization


@pytest.mark.parametrize("method", ["modelopt", "compressed-tensors"])
def test_what_the_builder_reads_for_cuda_alone_is_refused_for_the_cpu(method: str) -> None:
    model = {"architectures": ["Qwen3ForCausalLM"], "quantization_config": {"quant_method": method}}
    message, hint, _ = planned(model, precision="int4")[0].problems[0]
    assert "for CUDAExecutionProvider alone, not for CPUExecutionProvider" in message
    assert hint


def test_a_part_of_a_model_is_built_only_where_it_is_not_compared() -> None:
    cut = {"num_hidden_layers": 1}
    (problem,) = planned(extra_options=cut)[0].problems
    assert "builds a part of the model" in problem[0]
    assert planned(extra_options=cut, verify="never")[0].problems == []


def test_an_architecture_that_transformers_has_is_not_taken_for_a_misspelling() -> None:
    context, _ = planned({"architectures": ["Glm4ForCausalLM"], "model_type": "glm4"})
    assert "Did you mean" not in context.problems[0][1]


def test_a_quantizer_before_an_architecture_that_is_not_read_quantized_is_refused() -> None:
    quantized = {"quantization_config": {"quant_method": "olive", "group_size": 32, "bits": 4}}
    model = {"architectures": ["PhiForCausalLM"], **quantized}
    assert "does not read quantized" in planned(model, precision="int4")[0].problems[0][0]


@pytest.mark.parametrize(
    ("left", "refused"), [("o_proj", True), ("model.layers.0.mlp.down_proj", True), ("lm_head", False)]
)
def test_layers_that_a_quantizer_left_in_float_are_refused(left: str, refused: bool) -> None:
    section = {"quant_method": "olive", "group_size": 32, "bits": 4, "modules_to_not_convert": [left]}
    model = {"model_type": "llama", "num_hidden_layers": 2, "quantization_config": section}
    problems = planned(model, precision="int4")[0].problems
    assert ["in float" in message for message, _, _ in problems] == ([True] if refused else [])


def test_a_quantized_model_needs_no_streaming() -> None:
    model = {**LLAMA, "quantization_config": {"quant_method": "gptq"}}
    assert streaming_obstacle(ModelConfig(model), ModelBuilderOptions(precision="int4")) is None


def test_planning_imports_nothing_heavy() -> None:
    code = (
        "import sys, modelpress_plugins.model_builder.plan, modelpress_plugins.model_builder.check\n"
        "heavy = {'torch', 'transformers', 'onnx', 'onnxruntime', 'onnxruntime_genai', 'numpy'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
