"""AddOliveMetadata: the graph's name, and what the model is, among its metadata."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from modelpress.api import Artifact, PassContext, content_identity, installed_versions
from modelpress_plugins.onnx.pass_config import MetadataOptions
from modelpress_plugins.onnx_graph.press import Changed, press


def run(model: Artifact, config: MetadataOptions, ctx: PassContext) -> Artifact:
    """For PassSpec.run."""
    entries = _entries(model, config)

    def change(graph: ir.Model) -> Changed:
        new = {key: value for key, value in entries.items() if graph.metadata_props.get(key) != value}
        renamed = graph.graph.name != config.graph_name
        graph.metadata_props.update(new)
        graph.graph.name = config.graph_name
        return Changed(graph, len(new) + renamed, "entry of the metadata")

    return press(model, config, ctx, change)


def _entries(model: Artifact, config: MetadataOptions) -> dict[str, str]:
    found = {key: str(value) for key, value in config.custom_metadata.items()}
    found["modelpress_version"] = installed_versions(["modelpress"]).get("modelpress", "")
    found["model_hash"] = model.key or content_identity(model.path)
    told = model.meta.extra.get("model_attributes")
    attributes = told if isinstance(told, Mapping) else {}
    if name := attributes.get("_name_or_path"):
        found["hf_model_name"] = str(name)
    if config.add_optimization_info:
        found.update(_optimization(attributes, model.meta.task))
    return found


def _optimization(attributes: Mapping[str, object], task: str) -> dict[str, str]:
    found = {}
    for key in ("optimization_passes", "hf_task", "quantization_config"):
        value = attributes.get(key)
        if value:
            found[key] = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    if task:
        found.setdefault("hf_task", task)
    return found
