"""The hooks that a plugin may implement. Each returns data; none wraps another.

A plugin is a module named by an entry point of the group `modelpress`:

    # pyproject.toml
    [project.entry-points.modelpress]
    hello = "modelpress_hello"

    # modelpress_hello/__init__.py
    from modelpress.api import PassSpec, hookimpl

    MODELPRESS_API = 1

    @hookimpl
    def modelpress_passes():
        return [PassSpec(name="Hello", summary="…", accepts=("hf-model",), produces="hf-model",
                         run="modelpress_hello.run:hello", config="modelpress_hello.config:HelloConfig")]
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

from modelpress.specs import (
    CommandSpec,
    DataContainerSpec,
    FormatSpec,
    LibrarySpec,
    MetricSpec,
    ModelSpec,
    ObserverSpec,
    PassSpec,
    ResourceSpec,
    SamplerSpec,
    SystemSpec,
)

if TYPE_CHECKING:
    from modelpress.events import Event

API_VERSION = 1
ENTRY_POINT_GROUP = "modelpress"
hookspec = pluggy.HookspecMarker("modelpress")
hookimpl = pluggy.HookimplMarker("modelpress")


@hookspec
def modelpress_passes() -> Iterable[PassSpec]:
    """The passes that this plugin brings. Example: `return [PassSpec(name="LoRA", …)]`."""
    return ()


@hookspec
def modelpress_models() -> Iterable[ModelSpec]:
    """Ways to name an input model. Example: `return [ModelSpec(name="HfModel", …)]`."""
    return ()


@hookspec
def modelpress_formats() -> Iterable[FormatSpec]:
    """Formats of artifacts. Example: `return [FormatSpec(name="hf-model", …)]`."""
    return ()


@hookspec
def modelpress_data_containers() -> Iterable[DataContainerSpec]:
    """Sources of samples. Example: `return [DataContainerSpec(name="AcmeLogs", …)]`."""
    return ()


@hookspec
def modelpress_systems() -> Iterable[SystemSpec]:
    """Places where work runs. Example: `return [SystemSpec(name="PythonEnvironment", …)]`."""
    return ()


@hookspec
def modelpress_metrics() -> Iterable[MetricSpec]:
    """Numbers about a model. Example: `return [MetricSpec(name="perplexity", …)]`."""
    return ()


@hookspec
def modelpress_resources() -> Iterable[ResourceSpec]:
    """Kinds of paths. Example: `return [ResourceSpec(name="azureml_datastore", …)]`."""
    return ()


@hookspec
def modelpress_samplers() -> Iterable[SamplerSpec]:
    """Ways to search. Example: `return [SamplerSpec(name="tpe", …)]`."""
    return ()


@hookspec
def modelpress_observers() -> Iterable[ObserverSpec]:
    """Who watches runs. Example: `return [ObserverSpec(name="MLflow", …)]`."""
    return ()


@hookspec
def modelpress_libraries() -> Iterable[LibrarySpec]:
    """What is known of libraries. Example: `return [LibrarySpec(name="acme-hub", offline={…}, …)]`."""
    return ()


@hookspec
def modelpress_commands() -> Iterable[CommandSpec]:
    """Verbs of the command line. Example: `return [CommandSpec(name="ask", command="acme.ask:ask", …)]`."""
    return ()


@hookspec
def modelpress_event(event: Event) -> None:
    """See each event of a run as it happens. Must be quick; an exception is noted and ignored."""
