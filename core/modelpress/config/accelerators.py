"""Accelerators of a system as they are written: a device with each of its execution providers."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from modelpress.config.schema import AcceleratorSection
from modelpress.config.tree import Node
from modelpress.context import Accelerator

_DEVICES = {
    "CPUExecutionProvider": "cpu",
    "OpenVINOExecutionProvider": "cpu",
    "QNNExecutionProvider": "npu",
    "VitisAIExecutionProvider": "npu",
}  # all others are for GPUs
_PROVIDERS = {"cpu": "CPUExecutionProvider", "gpu": "CUDAExecutionProvider", "npu": "QNNExecutionProvider"}


def device_of(execution_provider: str) -> str:
    """The kind of device that an onnxruntime execution provider is for."""
    return _DEVICES.get(execution_provider, "gpu")


def accelerators_of(node: Node | None) -> Iterator[Accelerator]:
    """Each, in the order written; nothing of an entry that is wrong, which is told elsewhere."""
    for item in node.items if node else ():
        try:
            section = AcceleratorSection.model_validate(item.plain())
        except ValidationError:
            continue
        providers = section.execution_providers
        device = section.device or (device_of(providers[0]) if providers else "cpu")
        yield from (Accelerator(device, provider) for provider in providers or [_PROVIDERS[device]])
