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
    from modelpress.checkpoint import Checkpoint, CheckpointWriter, TensorInfo
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
    "looks_like_path",
]

_LAZY = {
    name: module
    for module, names in {
        "modelpress.artifact": "Artifact",
        "modelpress.checkpoint": "Checkpoint CheckpointWriter TensorInfo",
        "modelpress.context": "Accelerator DataFacts DataSource Exchange FetchContext LoadedModel ModelFacts PassContext PlanContext Sample System TextModel",
        "modelpress.engine.process": "WarmWorker",
        "modelpress.errors": "HostError MissingDependencyError ModelpressError PassError UserError WorkerDied",
        "modelpress.events": "Event Log Progress Report",
        "modelpress.identity": "content_identity looks_like_path",
        "modelpress.options": "DataRole Options Resource ResourcePath",
    }.items()
    for name in names.split()
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'modelpress.api' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - the rest of this module does without

    value = globals()[name] = getattr(import_module(_LAZY[name]), name)
    return value
