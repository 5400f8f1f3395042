"""What the builder of onnxruntime-genai 0.18 can build for. Tests build each, and compare with its source."""

from __future__ import annotations

PROVIDERS: dict[str, str] = {
    "CPUExecutionProvider": "cpu",
    "CUDAExecutionProvider": "cuda",
    "DmlExecutionProvider": "dml",
    "WebGpuExecutionProvider": "webgpu",
    "NvTensorRTRTXExecutionProvider": "NvTensorRtRtx",
}
"""onnxruntime's name of an execution provider -> the builder's."""

PRECISIONS: dict[str, frozenset[str]] = {
    "cpu": frozenset({"fp32", "int8", "int4"}),
    "cuda": frozenset({"fp16", "bf16", "int8", "int4"}),
    "dml": frozenset({"fp16", "int8", "int4"}),
    "webgpu": frozenset({"fp32", "fp16", "int8", "int4"}),
    "NvTensorRtRtx": frozenset({"fp16", "bf16", "int4"}),
}
"""Those of which it makes a graph that onnxruntime loads. fp32 for CUDA, which it lists, is none: its
attention names no cache among its outputs."""

LISTED: dict[str, frozenset[str]] = {
    "cpu": frozenset({"fp32", "int8", "int4"}),
    "cuda": frozenset({"fp32", "fp16", "bf16", "int8", "int4"}),
    "dml": frozenset({"fp16", "int4"}),
    "webgpu": frozenset({"int8", "int4"}),
    "NvTensorRtRtx": frozenset({"fp16", "bf16"}),
}
"""Those that it calls valid, in the line it prints."""
