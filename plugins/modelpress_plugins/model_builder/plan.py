"""What is wrong with a ModelBuilder step, found from config.json alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from modelpress.api import ModelFacts, PlanContext, nearest
from modelpress_plugins.hf.config import METHOD, ModelConfig
from modelpress_plugins.hf.families import BUILDABLE
from modelpress_plugins.hf.files import meta_beside_tokenizer, require_tokenizer
from modelpress_plugins.hf.float_methods import float_size, has_float_form, without_quantization
from modelpress_plugins.hf.patterns import contains
from modelpress_plugins.model_builder.architectures import (
    CUDA_ONLY,
    QUANT_METHODS,
    SEARCH_DEFAULTS,
)
from modelpress_plugins.model_builder.config import ModelBuilderOptions
from modelpress_plugins.model_builder.faults import known_fault
from modelpress_plugins.model_builder.targets import LISTED, PRECISIONS, PROVIDERS

BLOCK_SIZES = (16, 32, 64, 128, 256)
_BITS = {"int8": 8, "int4": 4}
_QUANTIZED_PRECISIONS = tuple(_BITS)
_LIBRARIES = 1_200 * 2**20
"""Bytes of a process that has imported torch, transformers and onnxruntime, with room for one tensor."""
_OWN_PATH_FACTOR = 3.8
"""Peak memory of the builder's own int4 path as a multiple of a 16-bit checkpoint, measured."""
_STREAMING_FACTOR = 2.2
"""Peak memory of the streaming path as a multiple of the result: its bytes as read and as written."""


def plan(model: ModelFacts, config: ModelBuilderOptions, ctx: PlanContext) -> ModelFacts:
    """Report every problem; tell what the output will be like."""
    require_tokenizer(model, ctx)
    provider = _check_provider(config, ctx)
    _check_options(config, provider, ctx)
    facts = ModelConfig(model.config)
    if model.config:
        _check_architecture(facts, config, ctx)
    if has_float_form(facts):  # what is built is the float model that it stands for
        whole = without_quantization(facts, facts.dtype or "bfloat16")
        model = replace(model, size=float_size(facts, model.size), config=whole)
        facts = ModelConfig(model.config)
    if model.config:
        _check_remote_code(model, ctx)
        _check_quantization(facts, config, ctx)
        _check_shapes(facts, ctx)
        _check_search(facts, config, ctx)
    streams = config.streaming is not False and streaming_obstacle(facts, config) is None
    if config.streaming and (obstacle := streaming_obstacle(facts, config)):
        ctx.problem(f"The streaming path cannot do this: {obstacle}.", option="streaming")
    size = estimate_size(model, facts, config)
    memory = size * _STREAMING_FACTOR if streams else max(model.size * _OWN_PATH_FACTOR, size * 1.5)
    ctx.needs(memory=int(memory) + _LIBRARIES)
    return replace(
        model,
        format="ort-genai",
        path=None,
        identity="",
        size=size,
        base=None,
        meta=meta_beside_tokenizer(model.meta),
    )


def streaming_obstacle(model: ModelConfig, config: ModelBuilderOptions) -> str | None:
    """Why a model cannot be quantized tensor by tensor and then repacked; None when it can.

    model: config.json. A model that is quantized already is repacked as it is: no obstacle.
    """
    if config.precision not in _QUANTIZED_PRECISIONS:
        return f"{config.precision} needs no quantization"
    if model.quantization:
        return None
    if model.architecture and not _reads_quantized(model.architecture):
        return f"the builder does not read quantized checkpoints of {model.architecture} by name"
    if config.algo_config:
        return f"algo_config {config.algo_config} is a method of the builder's own"
    if set(config.op_types) - {"MatMul"}:
        return "op_types_to_quantize is an option of the builder's own quantizer"
    if config.nodes_to_exclude:
        return "nodes_to_exclude is an option of the builder's own quantizer"
    if config.exclude_embeds or config.exclude_lm_head:
        return "a model without its embedding or head cannot be compared with the original"
    if own := sorted(set(config.extra_options) & OWN_QUANTIZER_OPTIONS):
        return f"extra_options.{own[0]} is an option of the builder's own quantizer"
    return None


OWN_QUANTIZER_OPTIONS = {"matmul_mixed_precision", "use_qdq", "adapter_path", "num_hidden_layers"}


def estimate_size(model: ModelFacts, facts: ModelConfig, config: ModelBuilderOptions) -> int:
    """Bytes of the result; 0 when the input's size is not known.

    A quantized weight takes bits / 8 bytes and its share of a 4-byte scale; the embedding stays float.
    """
    if facts.quantization:
        return int(model.size * 1.1)
    weights = model.size / facts.item_bytes
    if config.precision not in _QUANTIZED_PRECISIONS:
        return int(weights * (4 if config.precision == "fp32" else 2))
    embedding = facts.vocabulary * facts.hidden_size
    bits = 8 if config.precision == "int8" else 4
    per_weight = bits / 8 + 4 / (config.block_size or 32)
    return int(max(0, weights - embedding) * per_weight + embedding * 4) if weights else 0


def _check_provider(config: ModelBuilderOptions, ctx: PlanContext) -> str:
    """The builder's name of what the model is for; empty for one that it does not know (told already)."""
    name = ctx.accelerator.execution_provider
    provider = PROVIDERS.get(name, "")
    if not provider:
        return ""
    if config.precision not in PRECISIONS[provider]:
        ctx.problem(
            f"The builder has no {config.precision} for {name}.",
            f"There it has {', '.join(sorted(PRECISIONS[provider]))}.",
            option="precision",
        )
    elif config.precision not in LISTED[provider]:
        ctx.note(
            f"{config.precision} for {name} is not among what the builder lists; it builds it all the same."
        )
    if not ctx.target_is_here:
        _check_absent(config, name, ctx)
    return provider


def _check_absent(config: ModelBuilderOptions, name: str, ctx: PlanContext) -> None:
    if config.verify == "required":
        ctx.problem(
            f"verify is required, and there is no {name} where this step runs.",
            "Give it a host that has it, or set verify to auto: the model is then compared on the CPU.",
            option="verify",
        )
    else:
        ctx.note(f"There is no {name} here: the model is compared on the CPU, as far as that can compute it.")


_ALWAYS_CAPTURES = "NvTensorRtRtx"


def _check_options(config: ModelBuilderOptions, provider: str, ctx: PlanContext) -> None:
    if config.metadata_only:
        ctx.problem(
            "metadata_only writes a configuration without a model, which nothing could load.",
            "Take it out; to change generation defaults use `search`.",
            option="metadata_only",
        )
    if config.block_size is not None and config.block_size not in BLOCK_SIZES:
        ctx.problem(
            f"block_size is {config.block_size}; the runtime takes {_told(BLOCK_SIZES)}.",
            option="block_size",
        )
    name = ctx.accelerator.execution_provider
    if provider == _ALWAYS_CAPTURES and config.enable_cuda_graph is False:
        ctx.note(f"enable_cuda_graph has no effect on a build for {name}: there the builder always does it.")
    elif provider not in ("cuda", _ALWAYS_CAPTURES, "") and config.enable_cuda_graph:
        ctx.note(f"enable_cuda_graph has no effect on a build for {name}: it is for CUDA.")
    if "num_hidden_layers" in config.extra_options and config.verify != "never":
        ctx.problem(
            "extra_options.num_hidden_layers builds a part of the model, which does not compute what its "
            "source does.",
            "Take it out, or set verify to never.",
            option="extra_options.num_hidden_layers",
        )
    for name in sorted(set(config.search) - SEARCH_DEFAULTS):
        ctx.problem(
            f"search has no default {name!r}.", _nearest(name, SEARCH_DEFAULTS), option=f"search.{name}"
        )
    for name in sorted(set(config.extra_options) & _OWN_OPTIONS):
        ctx.problem(
            f"extra_options.{name} is an option of this pass.",
            f"Write {name.removeprefix('int4_')} beside precision.",
            option=f"extra_options.{name}",
        )
    _check_quantization_only(config, ctx)


_OWN_OPTIONS = {
    *ModelBuilderOptions.model_fields,
    *(f"int4_{name}" for name in ModelBuilderOptions.model_fields),
    "hf_token",
    "hf_remote",
    "config_only",
}


def _check_quantization_only(config: ModelBuilderOptions, ctx: PlanContext) -> None:
    if config.precision in _QUANTIZED_PRECISIONS:
        return
    for name in ("block_size", "is_symmetric", "algo_config", "op_types_to_quantize"):
        if getattr(config, name) is not None:
            ctx.problem(
                f"{name} is about quantization; precision is {config.precision}.",
                "Take it out, or set precision to int4 or int8.",
                option=name,
            )


def _check_architecture(model: ModelConfig, config: ModelBuilderOptions, ctx: PlanContext) -> None:
    architecture = model.architecture
    fault, instead = known_fault(model, config.precision)
    if not architecture:
        ctx.problem(
            "config.json of the model names no architecture.", "Add `architectures`, e.g. [LlamaForCausalLM]."
        )
    elif model.other_kind:
        ctx.problem(
            f"The model is {model.other_kind}. Here only what continues a text is built: the result is "
            "compared with its source on ids alone."
        )
    elif architecture not in BUILDABLE:
        ctx.problem(
            f"The builder of onnxruntime-genai cannot build {architecture}.",
            ("" if model.native else _nearest(architecture, BUILDABLE))
            + f" It builds {len(BUILDABLE)} architectures, among them "
            "Llama, Mistral, Phi-3, Qwen 2 and 3, Gemma.",
        )
    elif fault:
        ctx.problem(fault, instead)
    elif (only := BUILDABLE[architecture].builds_on) and ctx.accelerator.execution_provider not in only:
        ctx.problem(
            f"The builder builds {architecture} for {' and '.join(only)} only.",
            "Set the accelerator to that.",
        )


def _check_remote_code(model: ModelFacts, ctx: PlanContext) -> None:
    if ModelConfig(model.config).needed_code and not model.meta.trust_remote_code:
        ctx.problem(
            "The model brings its own code (auto_map in config.json), which runs only if you trust it.",
            "Read that code, then set trust_remote_code: true under load_kwargs of the input model.",
        )


def _check_quantization(model: ModelConfig, config: ModelBuilderOptions, ctx: PlanContext) -> None:
    method = model.quant_method
    if not method:
        return
    if method not in QUANT_METHODS:
        ctx.problem(
            f"The model is quantized with {method}, which the builder does not read "
            f"(it reads {', '.join(sorted(QUANT_METHODS))}).",
            "Start from the float model.",
        )
        return
    if method in CUDA_ONLY and ctx.accelerator.execution_provider != "CUDAExecutionProvider":
        ctx.problem(
            f"The model is quantized with {method}, which the builder reads for "
            f"CUDAExecutionProvider alone, not for {ctx.accelerator.execution_provider}.",
            "Start from the float model, or set the accelerator to that.",
        )
        return
    section = model.quantization
    if method == METHOD and model.architecture in BUILDABLE and not _reads_quantized(model.architecture):
        ctx.problem(
            f"The builder does not read quantized checkpoints of {model.architecture}.",
            "Take the quantizer out: the builder itself rounds to nearest, or by algo_config.",
        )
    if method == METHOD and (left := _left_in_float(model)):
        ctx.problem(
            f"The quantizer left {left} in float; the builder reads layers that are quantized as a whole.",
            "Take modules_to_not_convert out; `overrides: {NAME: {bits: 8}}` gives modules more bits.",
        )
    if config.precision not in _QUANTIZED_PRECISIONS:
        ctx.problem(
            f"The model is quantized already ({method}); {config.precision} would need float weights.",
            "Set precision to int4 or int8, or start from the float model.",
            option="precision",
        )
    bits = section.get("bits", section.get("w_bit"))
    if config.precision in _BITS and isinstance(bits, int) and bits != _BITS[config.precision]:
        ctx.problem(
            f"precision is {config.precision}, but the model is quantized already to {bits} bits.",
            f"Set precision to int{bits}: weights that are quantized keep their bits."
            if bits in _BITS.values()
            else "Start from the float model.",
            option="precision",
        )
    elif section.get("embeds") and config.precision == "int8":
        ctx.problem(
            "The input embedding of the model is quantized, which the builder reads with int4 only.",
            "Set precision to int4: weights that are quantized keep their bits.",
            option="precision",
        )
    if (group := section.get("group_size", 32)) not in BLOCK_SIZES:
        ctx.problem(f"The model is quantized in blocks of {group}; the runtime takes {_told(BLOCK_SIZES)}.")
    symmetric = section.get("symmetric", section.get("sym"))
    for option, found in (("block_size", group), ("is_symmetric", symmetric)):
        wanted = getattr(config, option)
        if wanted is not None and found is not None and wanted != found:
            ctx.problem(
                f"{option} is {wanted}, but the model is quantized already with {found}.",
                "Take the option out: weights that are quantized are kept as they are.",
                option=option,
            )
    for option in ("algo_config", "op_types_to_quantize"):
        if getattr(config, option) is not None:
            ctx.problem(
                f"{option} has no effect: the model is quantized already ({method}).",
                "Take it out, or start from the float model.",
                option=option,
            )


def _left_in_float(model: ModelConfig) -> str:
    """A projection that modules_to_not_convert names; empty when it names none of them."""
    patterns = model.quantization.get("modules_to_not_convert")
    layers = f"model.{model.family.parts.layers}"
    modules = [
        f"{layers}.{at}.{path}" for at in range(model.layers) for path in model.family.parts.roles.values()
    ]
    return next(
        (m for m in modules for p in (patterns if isinstance(patterns, list) else ()) if contains(str(p), m)),
        "",
    )


def _check_shapes(facts: ModelConfig, ctx: PlanContext) -> None:
    rotated = int(facts.head_size * facts.rotary_share)
    if rotated % 16:
        ctx.problem(
            f"The model turns {rotated} of the {facts.head_size} dimensions of a head (rotary embedding); "
            "the attention of the runtime needs a multiple of 16."
        )


def _check_search(facts: ModelConfig, config: ModelBuilderOptions, ctx: PlanContext) -> None:
    context = facts.context_length
    longest = config.search.get("max_length")
    if context and isinstance(longest, int) and longest > context:
        ctx.problem(
            f"search.max_length is {longest}, but the model's context holds {context} tokens.",
            option="search.max_length",
        )


def _told(sizes: tuple[int, ...]) -> str:
    return ", ".join(map(str, sizes))


def _nearest(name: str, known: Iterable[str]) -> str:
    found = nearest(name, known)
    return f"Did you mean {found}?" if found else ""


def _reads_quantized(architecture: str) -> bool:
    return architecture in BUILDABLE and BUILDABLE[architecture].builds_quantized
