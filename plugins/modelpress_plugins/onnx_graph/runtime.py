"""What onnxruntime can read and run, told before it is asked. Light."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

from modelpress.api import Meta, installed_versions
from modelpress_plugins.onnx_graph.facts import GraphFacts

_WHEELS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-qnn",
    "onnxruntime-openvino",
)
_NEWEST = ((1, 32), 28, 14)
"""The newest onnxruntime that was tried: its version, the highest opset and IR version that it reads."""
_DOMAINS = {
    "", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview", "ai.onnx.preview.training", "com.microsoft",
    "com.microsoft.experimental", "com.microsoft.nchwc", "com.ms.internal.nhwc", "org.pytorch.aten",
    "com.microsoft.dml",
}  # fmt: skip
"""Domains whose operators onnxruntime brings itself."""
EXTENSIONS = "ai.onnx.contrib"
"""The domain of onnxruntime-extensions."""
USE_EXTENSIONS, LIBRARY = "use_ort_extensions", "custom_ops_library"
"""Options of the input model, and in its meta."""


def unreadable(name: str, facts: GraphFacts) -> Iterator[tuple[str, str]]:
    """(what is wrong, what to do) for versions in a graph that no onnxruntime known here can open."""
    version = runtime_version()
    tried, opset, ir_version = _NEWEST
    if version is None or version <= tried:
        told = f"onnxruntime {'.'.join(map(str, version or tried))}"
        if facts.opsets.get("", 0) > opset:
            yield (
                f"{name} is of opset {facts.opsets['']}; {told} reads none above {opset}.",
                "Export it for an older opset, or install a newer onnxruntime.",
            )
        if facts.ir_version > ir_version:
            yield (
                f"{name} is of IR version {facts.ir_version}; {told} reads none above {ir_version}.",
                "Save it with an older ir_version, or install a newer onnxruntime.",
            )


class HasOperators(Protocol):
    """What is known of a graph's operators: how many nodes there are of each, `domain::name`, and which the
    model defines itself."""

    @property
    def operators(self) -> Mapping[str, int]: ...
    @property
    def functions(self) -> Collection[str]: ...


def unknown_operators(name: str, graph: HasOperators, meta: Meta) -> Iterator[tuple[str, str]]:
    """(what is wrong, what to do) for operators that onnxruntime does not know. Those of a library that the
    model names are what that says."""
    if meta.extra.get(LIBRARY):
        return
    for operator in sorted(set(graph.operators) - set(graph.functions)):
        domain, _, kind = operator.partition("::")
        if domain in _DOMAINS or (domain == EXTENSIONS and meta.extra.get(USE_EXTENSIONS) is True):
            continue
        hint = (
            f"Set {USE_EXTENSIONS}: true, with onnxruntime-extensions installed."
            if domain == EXTENSIONS
            else f"Name the library that brings it in {LIBRARY} of the model, put a surgeon first that takes "
            "it away, or export the model without it."
        )
        yield f"{name} uses the custom operator {kind} of {domain}, which onnxruntime does not know.", hint


def runtime_version() -> tuple[int, int] | None:
    """Of the onnxruntime that is installed here; None when there is none."""
    for version in installed_versions(_WHEELS).values():
        parts = version.split(".")
        if len(parts) > 1 and parts[0].isdigit() and parts[1].isdigit():
            return int(parts[0]), int(parts[1])
    return None
