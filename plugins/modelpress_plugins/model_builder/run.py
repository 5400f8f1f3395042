"""Drive the builder of onnxruntime-genai, and ship only what loads and computes the right numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from modelpress.api import (
    Artifact,
    Checkpoint,
    Meta,
    PassContext,
    PassError,
    UserError,
)
from modelpress_plugins.grids.stream import quantize_checkpoint
from modelpress_plugins.hf.config import METHOD, ModelConfig, read_config
from modelpress_plugins.hf.files import copy_companions, copy_licence, whole_folder
from modelpress_plugins.hf.float_form import write_float_form
from modelpress_plugins.hf.float_methods import has_float_form
from modelpress_plugins.hf.whole import require_finite, require_whole
from modelpress_plugins.model_builder.check import CONFIG
from modelpress_plugins.model_builder.config import ModelBuilderOptions
from modelpress_plugins.model_builder.drive import build_folder
from modelpress_plugins.model_builder.graph import name_producer, shape_scales, shares_embedding, sign_codes
from modelpress_plugins.model_builder.mend import mended
from modelpress_plugins.model_builder.norms import exact_norms
from modelpress_plugins.model_builder.plan import streaming_obstacle
from modelpress_plugins.model_builder.prove import Built, prove
from modelpress_plugins.model_builder.targets import PROVIDERS
from modelpress_plugins.tensors.release import give_back_memory

_BITS = {"int4": 4, "int8": 8}


@dataclass(frozen=True, slots=True)
class Source:
    """What is built. quantization: of its config.json; None for a float model.
    streamed: quantized here, from a float model."""

    folder: Path
    quantization: Mapping[str, object] | None
    streamed: bool = False

    @property
    def symmetric(self) -> bool | None:
        """Whether the quantized weights have no zero points; None when not known."""
        section = self.quantization or {}
        value = section.get("symmetric", section.get("sym"))
        return value if isinstance(value, bool) else None


def build(model: Artifact, config: ModelBuilderOptions, ctx: PassContext) -> Artifact:
    """Build an onnxruntime-genai folder in ctx.out, load it, and compare it with its source."""
    provider = _provider(ctx)
    remote = model.meta.trust_remote_code
    published, model = model, _in_float(model, ctx)
    for text in require_whole(model.path, trust_remote_code=remote):
        ctx.note(text)
    source = _source(model, config, ctx)
    warnings = build_folder(
        mended(
            _read_by_builder(published, source, config, ctx), ctx.scratch / "mended", trust_remote_code=remote
        ),
        ctx.out,
        config.precision,
        provider,
        ctx.scratch / "builder",
        _builder_options(source, config, provider, trust_remote_code=remote),
        ctx.progress,
    )
    for text in warnings:
        ctx.note(f"The builder warns: {text}")
    _write_search_defaults(ctx.out / CONFIG, config.search)
    graph = ctx.out / str(_decoder(ctx.out)["filename"])
    name_producer(graph)
    shape_scales(graph)
    if offset := read_config(source.folder).family.norm_offset:
        exact_norms(graph, source.folder, offset)
    if source.quantization is not None and source.symmetric is not False:
        sign_codes(graph)
    tied = read_config(source.folder).tied is not False
    if tied and shares_embedding(graph) and (source.quantization is None or source.streamed):
        ctx.note(
            "The model ties its embeddings: ids are looked up in the quantized output layer. "
            "`extra_options: {shared_embeddings: false}` keeps the input embedding in float, which is larger."
        )
    told = Meta(
        task=model.meta.task,
        trust_remote_code=model.meta.trust_remote_code,
        extra={"precision": config.precision, "execution_provider": ctx.accelerator.execution_provider},
    )
    copy_licence(model.path, ctx.out)
    artifact = ctx.artifact("ort-genai", meta=told)
    own_rounding = source.quantization is None and config.precision in _BITS
    prove(Built(artifact, graph, source.folder, own_rounding, provider, remote), config, ctx)
    return artifact


def _provider(ctx: PassContext) -> str:
    """The builder's name of the execution provider that the model is for."""
    name = ctx.accelerator.execution_provider
    if name not in PROVIDERS:
        raise UserError(f"The builder cannot build for {name}.", f"It builds for {', '.join(PROVIDERS)}.")
    return PROVIDERS[name]


def _in_float(model: Artifact, ctx: PassContext) -> Artifact:
    """The model, or the float model that its published form stands for."""
    written = read_config(model.path)
    if not has_float_form(written):
        return model
    ctx.note(
        f"The checkpoint is in {written.quant_method}: what is built is the float model that it stands for."
    )
    return replace(model, path=write_float_form(model, ctx.scratch / "float", ctx.progress))


def _read_by_builder(
    published: Artifact, source: Source, config: ModelBuilderOptions, ctx: PassContext
) -> Path:
    """What the builder is to open: where it rounds, it takes the experts of GPT-OSS from mxfp4 alone."""
    if read_config(published.path).quant_method == "mxfp4" and config.precision in _BITS:
        return whole_folder(published, ctx.scratch / "published")
    return source.folder


def _source(model: Artifact, config: ModelBuilderOptions, ctx: PassContext) -> Source:
    """The model as it is, with its tokenizer, or quantized tensor by tensor first."""
    written = read_config(model.path)
    require_finite(model.path)
    if written.quantization:
        _refuse_fused_zero_points(model.path, written)
        return Source(whole_folder(model, ctx.scratch / "model"), written.quantization)
    if config.precision not in _BITS:
        return Source(whole_folder(model, ctx.scratch / "model"), None)
    obstacle = "streaming is false" if config.streaming is False else streaming_obstacle(written, config)
    if obstacle is None:
        try:
            return _stream(model, config, ctx)
        except UserError as error:
            if config.streaming:
                raise
            obstacle = error.message
    if config.streaming is None:
        ctx.note(f"The builder itself quantizes, with the whole float model in memory: {obstacle}.")
    return Source(whole_folder(model, ctx.scratch / "model"), None)


def _stream(model: Artifact, config: ModelBuilderOptions, ctx: PassContext) -> Source:
    out = ctx.scratch / "quantized"
    quantize_checkpoint(
        model.path,
        out,
        algorithm="rtn",
        bits=_BITS[config.precision],
        block_size=config.block_size or 32,
        symmetric=config.is_symmetric is not False,
        progress=ctx.progress,
    )
    give_back_memory()
    copy_companions(model, out)
    return Source(out, read_config(out).quantization, streamed=True)


def _refuse_fused_zero_points(folder: Path, config: ModelConfig) -> None:
    """The builder of onnxruntime-genai 0.18 cuts packed zero points of fused projections at the wrong row."""
    if config.quant_method != METHOD:
        return
    with Checkpoint(folder) as checkpoint:
        bad = [n for n in checkpoint.names() if n.endswith(("qkv_proj.qzeros", "gate_up_proj.qzeros"))]
    if bad:
        raise UserError(
            f"{bad[0]}: zero points of fused projections are read wrongly by the builder.",
            "Quantize the float model with a pass of modelpress, or symmetrically.",
        )


def _builder_options(
    source: Source, config: ModelBuilderOptions, provider: str, *, trust_remote_code: bool
) -> dict[str, str]:
    """Options as the builder's command line takes them."""
    section = source.quantization
    options: dict[str, object] = {
        "block_size": config.block_size or (section or {}).get("group_size"),
        "is_symmetric": config.is_symmetric if config.is_symmetric is not None else source.symmetric,
        "accuracy_level": _accuracy_level(source, config),
        "algo_config": config.algo_config,
        "op_types_to_quantize": "/".join(config.op_types) or None,
        "nodes_to_exclude": ",".join([*config.nodes_to_exclude, *_routers(source, config)]) or None,
        "exclude_embeds": config.exclude_embeds or None,
        "exclude_lm_head": config.exclude_lm_head or None,
        "enable_cuda_graph": config.enable_cuda_graph if provider == "cuda" else None,
        "hf_token": False,
        "hf_remote": trust_remote_code,
    }
    if section is not None and (source.symmetric is not False or section.get("overrides")):
        # The builder joins q, k and v by their zero points, also where there are none or widths differ.
        options["fuse_qkv"] = False
    if section is not None and section.get("quant_method") == METHOD and not source.streamed:
        # The builder would share wherever config.json ties the two, and make a float embedding 4 bits.
        options["shared_embeddings"] = bool(section.get("embeds"))
    if provider == "NvTensorRtRtx" and config.precision in _BITS:
        options["shared_embeddings"] = False  # its QDQ form has no lookup in quantized weights
    if config.precision == "int8":
        options["moe_quant_type"] = "int8"  # it would make experts 4 bits
        options["shared_embeddings"] = False  # a shared embedding is int4 or float; the builder tries anyway
    options.update(config.extra_options)
    return {name: _as_text(value) for name, value in options.items() if value is not None}


def _accuracy_level(source: Source, config: ModelBuilderOptions) -> int | None:
    """Beside experts that the builder rounds, the other products are a small part of the work: in float, for
    8-bit activations there would send tokens to other experts (22 % off instead of 8e-7)."""
    return 1 if config.accuracy_level is None and _routers(source, config) else config.accuracy_level


def _routers(source: Source, config: ModelBuilderOptions) -> list[str]:
    """Where the builder rounds experts, the nodes that choose among them: they stay in float, as their makers
    leave them. They are a thousandth of the weights, and each that is off sends tokens to other experts."""
    written = read_config(source.folder)
    if source.quantization is not None or config.precision not in _BITS or written.family.experts is None:
        return []
    return [f"/model/layers.{layer}/moe/router/MatMul" for layer in range(written.layers)]


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _write_search_defaults(path: Path, search: Mapping[str, object]) -> None:
    if search:
        config = json.loads(path.read_text(encoding="utf-8"))
        config["search"] = {**config.get("search", {}), **search}
        path.write_text(json.dumps(config, indent=4) + "\n", encoding="utf-8")


def _decoder(folder: Path) -> Mapping[str, object]:
    model = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["model"]
    if "filename" not in model.get("decoder", {}):
        raise PassError(f"The builder wrote a {CONFIG} whose decoder names no file.")
    return dict(model["decoder"])
