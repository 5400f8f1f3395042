"""A finished model as the input of a workflow, whatever its format; and a command that measures one.

Brings the input model `ModelFolder` and the command `evaluate`.
"""

from __future__ import annotations

from modelpress.api import ANY_FORMAT, CommandSpec, ModelSpec, hookimpl

MODELPRESS_API = 1

_HERE = "modelpress_plugins.model_folder"


@hookimpl
def modelpress_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="ModelFolder",
            summary="A finished model of any format: what a run gave, or a folder that a format knows.",
            produces=ANY_FORMAT,
            open=f"{_HERE}.open_folder:open_folder",
            config=f"{_HERE}.config:ModelFolderOptions",
        )
    ]


@hookimpl
def modelpress_commands() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="evaluate",
            summary="Measure a model, without a workflow.",
            command=f"{_HERE}.evaluate:command",
        ),
        CommandSpec(
            name="compare",
            summary="Measure two models side by side.",
            command=f"{_HERE}.compare:command",
        ),
    ]
