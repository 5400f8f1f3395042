"""Find a finished model and tell the plan what it is. Only small files are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from modelpress.api import Artifact, ModelFacts, PlanContext, Registry, UserError, find_artifact, named_path
from modelpress_plugins.hf.config import CONFIG, read_json
from modelpress_plugins.model_folder.config import ModelFolderOptions


def open_folder(config: ModelFolderOptions, ctx: PlanContext) -> ModelFacts | None:
    """The facts of the model in the folder, with its base for an adapter. None after a problem."""
    try:
        folder = named_path(config.model_path, ctx.folder)
        artifact = find_artifact(folder, Registry.load(), trust_remote_code=config.trust_remote_code)
    except UserError as error:
        ctx.problem(error.message, error.hint, option="model_path")
        return None
    return _facts(artifact)


def _facts(artifact: Artifact) -> ModelFacts:
    base = _facts(artifact.base) if artifact.base else None
    return ModelFacts(
        artifact.format,
        path=artifact.path.resolve(),
        config=base.config if base else _model_config(artifact.path),
        size=artifact.size,
        meta=artifact.meta,
        base=base,
    )


def _model_config(folder: Path) -> Mapping[str, object]:
    """config.json, where the format has one. That it is whole is for the format's check to say."""
    try:
        return read_json(folder / CONFIG)
    except UserError:
        return {}
