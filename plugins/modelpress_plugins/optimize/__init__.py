"""A command that searches for the best form of a model within limits."""

from __future__ import annotations

from modelpress.api import CommandSpec, hookimpl

MODELPRESS_API = 1

_HERE = "modelpress_plugins.optimize"


@hookimpl
def modelpress_commands() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="optimize",
            summary="Search for the best form of a model within limits, without a workflow.",
            command=f"{_HERE}.command:command",
        ),
    ]
