"""Quantize ONNX graphs: weights in blocks of few bits, or weights and activations in 8 or 16."""

from __future__ import annotations

from modelpress.api import PassSpec, Rename, hookimpl
from modelpress_plugins.ranges import (
    NUMPY,
    ONNX,
    ONNX_IR,
    ONNXRUNTIME,
    ONNXSCRIPT,
    SYMPY,
    TORCH,
)

MODELPRESS_API = 1

_HERE = "modelpress_plugins.onnx_quantize"
_GRAPH = (ONNXRUNTIME, ONNX, ONNX_IR, NUMPY)
_FORMATS = ("onnx", "ort-genai")


def _pass(
    name: str,
    summary: str,
    run: str,
    requires: tuple[str, ...] = _GRAPH,
    *,
    aliases: tuple[str, ...] = (),
    renames: tuple[Rename, ...] = (),
    targets: tuple[str, ...] = (),
    tried: bool = False,
) -> PassSpec:
    return PassSpec(
        name=name,
        summary=summary,
        accepts=_FORMATS,
        produces="same",
        run=f"{_HERE}.{run}",
        config=f"{_HERE}.config:{name}Config",
        plan=f"{_HERE}.plan:plan_{run.rpartition(':')[2]}",
        requires=requires,
        extra="cpu",
        devices=("cpu",),
        aliases=aliases,
        renames=renames,
        by_threads=bool(targets),  # calibration sums over samples
        targets=targets,
        tried=tried,
    )


_AXIS = Rename("axis", None, "Blocks lie along the inputs of each output, as the runtime reads them.")
_INTEGERS = (
    Rename("weight_type", "precision"),
    Rename("prepare_qnn_config", "prepare_qdq_config"),
    Rename("MatMulConstBOnly", "extra_options.MatMulConstBOnly"),
)


@hookimpl
def modelpress_passes() -> list[PassSpec]:
    return [
        _pass(
            "OnnxBlockWiseRtnQuantization",
            "Round the weights of MatMul and the tables of Gather to nearest, in blocks.",
            "run_blocks:nearest",
            aliases=("OnnxMatMul4Quantizer",),
            renames=(_AXIS,),
        ),
        _pass(
            "OnnxKQuantQuantization",
            "Quantize the weights of MatMul by a search over each block's range.",
            "run_searched:k_quant",
            (*_GRAPH, TORCH),
        ),
        _pass(
            "OnnxHqqQuantization",
            "Quantize the weights of MatMul by half-quadratic optimization.",
            "run_searched:hqq",
            (*_GRAPH, TORCH),
            renames=(_AXIS,),
        ),
        _pass(
            "OnnxBnb4Quantization",
            "Put the weights of MatMul on the FP4 or NF4 levels of bitsandbytes.",
            "run_blocks:bnb4",
        ),
        _pass(
            "MatMulNBitsToQDQ",
            "Write MatMulNBits as DequantizeLinear and MatMul, for runtimes without it.",
            "run_unpack:unpack",
            (*_GRAPH, ONNXSCRIPT),
        ),
        _pass(
            "OnnxDynamicQuantization",
            "Quantize weights to 8 bits; activations follow while the model runs.",
            "run_integers:dynamic",
            (*_GRAPH, SYMPY, ONNXSCRIPT),
            renames=_INTEGERS,
            tried=True,
        ),
        _pass(
            "OnnxStaticQuantization",
            "Quantize weights and activations to 4, 8 or 16 bits, calibrated on data.",
            "run_integers:static",
            (*_GRAPH, SYMPY, ONNXSCRIPT),
            renames=_INTEGERS,
            targets=("*",),
        ),
        _pass(
            "OnnxQuantization",
            "Quantize weights and activations, calibrated on data or dynamically.",
            "run_integers:either",
            (*_GRAPH, SYMPY, ONNXSCRIPT),
            renames=_INTEGERS,
            targets=("*",),
        ),
    ]
