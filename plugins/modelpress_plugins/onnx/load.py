"""Open an ONNX model in onnxruntime."""

from __future__ import annotations

from modelpress.api import Artifact
from modelpress_plugins.onnx_graph.session import OnnxModel


def load(artifact: Artifact, device: str) -> OnnxModel:
    """For FormatSpec.load of onnx."""
    return OnnxModel(artifact, device)
