"""What a run did and found, as one page for a browser. Brings the command `report`."""

from __future__ import annotations

from modelpress.api import CommandSpec, hookimpl

MODELPRESS_API = 1


@hookimpl
def modelpress_commands() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="report",
            summary="Show what a run did and found, as one page for a browser.",
            command="modelpress_plugins.report.command:command",
            requires=("plotly>=6.0",),
            extra="report",
        )
    ]
