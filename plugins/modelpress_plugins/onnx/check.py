"""Whether a folder is a whole ONNX model, without opening it in the runtime. Light."""

from __future__ import annotations

from pathlib import Path

from modelpress.api import Meta, UserError
from modelpress_plugins.onnx_graph.facts import check_weights, read_facts
from modelpress_plugins.onnx_graph.folder import GENAI_CONFIG, graph_names


def check(folder: Path) -> None:
    """For FormatSpec.check of onnx. Raises UserError when a graph or its weights are missing, cut or
    damaged."""
    if (folder / GENAI_CONFIG).is_file():
        raise UserError(f"{folder} has a {GENAI_CONFIG}: it is a model for onnxruntime-genai.")
    for name in graph_names(folder, "onnx", Meta()):
        check_weights(folder / name, read_facts(folder / name))
