"""Which accelerators this machine has, found without importing a heavy library or starting a driver."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from ctypes.util import find_library
from pathlib import Path

from modelpress.api import Accelerator

_WHEELS: Mapping[str, tuple[str, ...]] = {
    "DmlExecutionProvider": ("onnxruntime-directml", "onnxruntime-genai-directml"),
    "NvTensorRTRTXExecutionProvider": ("onnxruntime-trt-rtx", "onnxruntime-ep-nv-tensorrt-rtx"),
    "OpenVINOExecutionProvider": ("onnxruntime-openvino",),
    "QNNExecutionProvider": ("onnxruntime-qnn",),
    "VitisAIExecutionProvider": ("onnxruntime-vitisai",),
    "WebGpuExecutionProvider": ("onnxruntime-webgpu", "onnxruntime-ep-webgpu"),
}
"""Execution provider -> the distributions, any of which brings it."""


def has(accelerator: Accelerator, libraries: Callable[[Sequence[str]], Mapping[str, str]]) -> bool:
    """Whether a Python on this machine can use an accelerator. libraries: versions of what it has of the
    distributions named."""
    provider = accelerator.execution_provider
    if provider == "CPUExecutionProvider":
        return accelerator.device == "cpu" or (accelerator.device == "gpu" and has_gpu())
    if provider == "CUDAExecutionProvider":
        return has_gpu()  # torch needs no more; whoever needs onnxruntime's own requires it
    return bool(libraries(wheels_of(accelerator) or ()))


def wheels_of(accelerator: Accelerator) -> Sequence[str] | None:
    """The distributions of which one has to be there; None where it takes none."""
    if accelerator.execution_provider in ("CPUExecutionProvider", "CUDAExecutionProvider"):
        return None
    return _WHEELS.get(accelerator.execution_provider, ())


def has_gpu() -> bool:
    """Whether there is a GPU that torch could compute on: NVIDIA's, or AMD's with ROCm."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    if sys.platform == "win32":
        return find_library("nvcuda") is not None
    devices = Path("/dev")
    return any(devices.glob("nvidia[0-9]*")) or any((devices / name).exists() for name in ("kfd", "dxg"))
