"""ONNX models: the format `onnx`, the input model `ONNXModel`, and passes on the graph."""

from __future__ import annotations

from modelpress.api import FormatSpec, ModelSpec, PassSpec, Rename, hookimpl
from modelpress_plugins.ranges import NUMPY, ONNX, ONNX_IR, ONNXRUNTIME, ONNXSCRIPT, SYMPY

MODELPRESS_API = 1

_HERE = "modelpress_plugins.onnx"
_TIMED_HERE = "Runs are timed as they are, on inputs made from the graph's shapes or by io_config."
_REQUIRES = (ONNXRUNTIME, ONNX, ONNX_IR, NUMPY)


@hookimpl
def modelpress_formats() -> list[FormatSpec]:
    return [
        FormatSpec(
            name="onnx",
            summary="ONNX: one graph or several, with weights inside or beside.",
            check=f"{_HERE}.check:check",
            load=f"{_HERE}.load:load",
            usage=f"{_HERE}.usage:use",
            requires=_REQUIRES,
            extra="onnx",
        )
    ]


@hookimpl
def modelpress_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="ONNXModel",
            summary="An ONNX model: its file, or a folder with one graph or several.",
            produces="onnx",
            open=f"{_HERE}.open_model:open_model",
            config=f"{_HERE}.config:ONNXModelOptions",
        )
    ]


def _on_graph(
    name: str,
    summary: str,
    module: str,
    options: str,
    plan: str,
    *more: str,
    tried: bool = False,
    targets: tuple[str, ...] = (),
) -> PassSpec:
    return PassSpec(
        name=name,
        summary=summary,
        accepts=("onnx", "ort-genai"),
        produces="same",
        run=f"{_HERE}.{module}:run",
        config=f"{_HERE}.{options}",
        plan=f"{_HERE}.{plan}",
        requires=(*_REQUIRES, *more),
        extra="onnx",
        devices=("cpu",),
        tried=tried,
        targets=targets,
    )


@hookimpl
def modelpress_passes() -> list[PassSpec]:
    return [
        _on_graph(
            "OnnxFloatToFloat16",
            "Turn float32 weights and computation into float16.",
            "float16",
            "config:Float16Options",
            "float16_plan:plan",
            SYMPY,
            tried=True,
        ),
        _on_graph(
            "OnnxIODataTypeConverter",
            "Give inputs and outputs another type.",
            "io_types",
            "pass_config:IoTypesOptions",
            "plans:io_types",
        ),
        _on_graph(
            "OnnxPeepholeOptimizer",
            "Fold, fuse and drop nodes where the function stays the same.",
            "peephole",
            "pass_config:PeepholeOptions",
            "plans:peephole",
            ONNXSCRIPT,
        ),
        _on_graph(
            "DynamicToFixedShape",
            "Replace free dimensions by numbers.",
            "fixed_shape",
            "pass_config:FixedShapeOptions",
            "plans:fixed_shape",
            targets=("*",),
        ),
        _on_graph(
            "AddOliveMetadata",
            "Name the graph, and write down what the model is.",
            "metadata",
            "pass_config:MetadataOptions",
            "plans:metadata",
        ),
        PassSpec(
            name="OrtSessionParamsTuning",
            summary="Try settings of onnxruntime, and keep the fastest with the model.",
            accepts=("onnx",),
            produces="same",
            run=f"{_HERE}.session_tuning:run",
            config=f"{_HERE}.pass_config:SessionTuningOptions",
            plan=f"{_HERE}.plans:session_tuning",
            requires=_REQUIRES,
            extra="onnx",
            devices=("cpu",),
            targets=("*",),
            alone=True,
            aliases=("OrtPerfTuning",),
            renames=tuple(
                Rename(name, None, why=_TIMED_HERE)
                for name in (
                    *(
                        "data_config",
                        "user_script",
                        "script_dir",
                        "dataloader_func",
                        "data_dir",
                        "batch_size",
                    ),
                    *("io_bind", "enable_cuda_graph", "trt_fp16_enable", "force_evaluate_other_eps"),
                    "enable_profiling",
                )
            ),
        ),
    ]
