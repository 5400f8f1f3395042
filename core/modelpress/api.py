"""All that a plugin may import. A promise: nothing here changes its meaning under MODELPRESS_API = 1.

The specs and `hookimpl` are here at once, since every plugin's entry module needs them; everything else is
loaded on first use, so that a list of passes waits for nothing that it does not show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelpress.hookspecs import API_VERSION, hookimpl
from modelpress.specs import (
    DataContainerSpec,
    FormatSpec,
    MetricSpec,
    ModelSpec,
    PassSpec,
    Rename,
    ResourceSpec,
    SystemSpec,
)

if TYPE_CHECKING:
    from modelpress.artifact import Artifact
    from modelpress.checkpoint import Checkpoint, TensorInfo
    from modelpress.checkpoint_writer import CheckpointWriter, parse_size
    from modelpress.context import (
        Accelerator,
        DataFacts,
        DataSource,
        Exchange,
        FetchContext,
        LoadedModel,
        ModelFacts,
        PassContext,
        PlanContext,
        Sample,
        System,
        TextModel,
    )
    from modelpress.engine.process import WarmWorker
    from modelpress.errors import (
        HostError,
        MissingDependencyError,
        ModelpressError,
        PassError,
        UserError,
        WorkerDied,
    )
    from modelpress.events import Event, Log, Progress, Report
    from modelpress.identity import content_identity, looks_like_path
    from modelpress.options import DataRole, Options, Resource, ResourcePath
    from modelpress.provider import installed_versions

__all__ = [
    "API_VERSION",
    "Accelerator",
    "Artifact",
    "Checkpoint",
    "CheckpointWriter",
    "DataContainerSpec",
    "DataFacts",
    "DataRole",
    "DataSource",
    "Event",
    "Exchange",
    "FetchContext",
    "FormatSpec",
    "HostError",
    "LoadedModel",
    "Log",
    "MetricSpec",
    "MissingDependencyError",
    "ModelFacts",
    "ModelSpec",
    "ModelpressError",
    "Options",
    "PassContext",
    "PassError",
    "PassSpec",
    "PlanContext",
    "Progress",
    "Rename",
    "Report",
    "Resource",
    "ResourcePath",
    "ResourceSpec",
    "Sample",
    "System",
    "SystemSpec",
    "TensorInfo",
    "TextModel",
    "UserError",
    "WarmWorker",
    "WorkerDied",
    "content_identity",
    "hookimpl",
    "installed_versions",
    "looks_like_path",
    "parse_size",
]

_LAZY = {
    "Artifact": "modelpress.artifact",
    "Checkpoint": "modelpress.checkpoint",
    "CheckpointWriter": "modelpress.checkpoint_writer",
    "parse_size": "modelpress.checkpoint_writer",
    "TensorInfo": "modelpress.checkpoint",
    "Accelerator": "modelpress.context",
    "DataFacts": "modelpress.context",
    "DataSource": "modelpress.context",
    "Exchange": "modelpress.context",
    "FetchContext": "modelpress.context",
    "LoadedModel": "modelpress.context",
    "ModelFacts": "modelpress.context",
    "PassContext": "modelpress.context",
    "PlanContext": "modelpress.context",
    "Sample": "modelpress.context",
    "System": "modelpress.context",
    "TextModel": "modelpress.context",
    "WarmWorker": "modelpress.engine.process",
    "HostError": "modelpress.errors",
    "MissingDependencyError": "modelpress.errors",
    "ModelpressError": "modelpress.errors",
    "PassError": "modelpress.errors",
    "UserError": "modelpress.errors",
    "WorkerDied": "modelpress.errors",
    "Event": "modelpress.events",
    "Log": "modelpress.events",
    "Progress": "modelpress.events",
    "Report": "modelpress.events",
    "content_identity": "modelpress.identity",
    "looks_like_path": "modelpress.identity",
    "installed_versions": "modelpress.provider",
    "DataRole": "modelpress.options",
    "Options": "modelpress.options",
    "Resource": "modelpress.options",
    "ResourcePath": "modelpress.options",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'modelpress.api' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - the rest of this module does without

    value = globals()[name] = getattr(import_module(_LAZY[name]), name)
    return value
