"""`--here`: a workflow that was written for other machines, as it is on this one."""

from __future__ import annotations

from modelpress.config.dialect import Dialect, pass_sections
from modelpress.config.tree import Node

_WHY = "--here: everything runs on this machine's CPU, and is built for it."


def bring_here(dialect: Dialect) -> None:
    """Leave out where passes would run and what the model would be for; each is told.

    An input model that has to be fetched from a place of its own, and says its hub id beside that, is taken
    from the hub.
    """
    root = dialect.root
    engine = root.mapping.get("engine")
    for part in (root, *([engine] if engine else [])):
        for key in ("host", "target", "systems", "execution_providers", "azureml_client"):
            if key in part.mapping:
                dialect.leave_out(part, key, key, _WHY)
    for step in pass_sections(root.mapping.get("passes")):
        dialect.leave_out(step, "host", "host of a pass", _WHY)
    model = root.mapping.get("input_model")
    if model is not None:
        _take_from_hub(dialect, model)


def _take_from_hub(dialect: Dialect, model: Node) -> None:
    options = model.mapping.get("config") or model
    path, name = options.mapping.get("model_path"), options.find("hf_config.model_name")
    if path is not None and path.is_mapping and name is not None and name.value:
        why = f"--here: hf_config.model_name says what it is on the hub, {name.value}."
        dialect.leave_out(options, "model_path", "model_path", why)
