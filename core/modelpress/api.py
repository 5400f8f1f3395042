"""All that a plugin may import. A promise: nothing here changes its meaning under MODELPRESS_API = 1.

Light: the standard library, pluggy and xxhash only. What needs pydantic (Options and the markers for
option fields) is loaded on first use, so that a plugin's entry module stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from modelpress.errors import (
    HostError,
    MissingDependencyError,
    ModelpressError,
    PassError,
    UserError,
    WorkerDied,
)
from modelpress.events import Event, Log, Progress, Report
from modelpress.hookspecs import API_VERSION, hookimpl
from modelpress.identity import content_identity, looks_like_path
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
    from modelpress.options import DataRole, Options, Resource, ResourcePath
    from modelpress.engine.process import WarmWorker

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
    "DataRole": "modelpress.options",
    "Options": "modelpress.options",
    "Resource": "modelpress.options",
    "ResourcePath": "modelpress.options",
    "WarmWorker": "modelpress.engine.process",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module  # noqa: PLC0415

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'modelpress.api' has no attribute {name!r}")
