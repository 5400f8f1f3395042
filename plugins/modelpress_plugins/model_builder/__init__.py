"""Press a model into an onnxruntime-genai folder: the pass ModelBuilder and the format ort-genai."""

from __future__ import annotations

from modelpress.api import FormatSpec, LibrarySpec, PassSpec, Rename, hookimpl
from modelpress_plugins.model_builder.targets import PROVIDERS
from modelpress_plugins.ranges import (
    ACCELERATE,
    ONNX,
    ONNX_IR,
    ONNXRUNTIME,
    ONNXRUNTIME_GENAI,
    TORCH,
    TRANSFORMERS,
)

MODELPRESS_API = 1

_REQUIRES = (ONNXRUNTIME_GENAI, ONNXRUNTIME, ONNX, ONNX_IR, TORCH, TRANSFORMERS, ACCELERATE)
_OLD = {
    "int4_block_size": "block_size",
    "int4_is_symmetric": "is_symmetric",
    "int4_accuracy_level": "accuracy_level",
    "int4_algo_config": "algo_config",
    "int4_op_types_to_quantize": "op_types_to_quantize",
    "int4_nodes_to_exclude": "nodes_to_exclude",
}
_OWN = ("exclude_embeds", "exclude_lm_head", "enable_cuda_graph", *_OLD.values())
"""Options of the pass that may stand among the builder's, too."""
_FLAGS = ("exclude_embeds", "exclude_lm_head", "enable_cuda_graph", "is_symmetric")
_Scalar = str | int | float | bool | None
_TRUTH: dict[_Scalar, _Scalar] = {
    text: answer
    for answer in (True, False)
    for text in (int(answer), str(int(answer)), str(answer), str(answer).lower())
}


def _lifted(old: str, new: str) -> Rename:
    why = "It is an option of this pass."
    return Rename(f"extra_options.{old}", new, why, _TRUTH if new in _FLAGS else dict[_Scalar, _Scalar]())


@hookimpl
def modelpress_passes() -> list[PassSpec]:
    return [
        PassSpec(
            name="ModelBuilder",
            summary="Build an onnxruntime-genai folder: fp32, fp16, bf16, int8 or int4.",
            accepts=("hf-model",),
            produces="ort-genai",
            run="modelpress_plugins.model_builder.run:build",
            config="modelpress_plugins.model_builder.config:ModelBuilderOptions",
            plan="modelpress_plugins.model_builder.plan:plan",
            requires=_REQUIRES,
            extra="cpu",
            version=2,
            devices=("cpu",),
            targets=tuple(PROVIDERS),
            renames=(
                *(
                    Rename(old, new, "The builder of onnxruntime-genai uses it for int8 too.")
                    for old, new in _OLD.items()
                ),
                *(_lifted(old, new) for old, new in [*_OLD.items(), *((name, name) for name in _OWN)]),
            ),
        )
    ]


@hookimpl
def modelpress_formats() -> list[FormatSpec]:
    return [
        FormatSpec(
            name="ort-genai",
            summary="An onnxruntime-genai folder: ONNX files, genai_config.json and a tokenizer.",
            check="modelpress_plugins.model_builder.check:check",
            load="modelpress_plugins.model_builder.genai:load",
            usage="modelpress_plugins.model_builder.usage:use",
            requires=(ONNXRUNTIME_GENAI, TRANSFORMERS),
            extra="cpu",
        )
    ]


@hookimpl
def modelpress_libraries() -> list[LibrarySpec]:
    return [
        LibrarySpec(
            name="onnxruntime",
            summary="What runs models: whether its int4 kernels are right on this processor.",
            check="modelpress_plugins.model_builder.kernels:check",
        )
    ]
