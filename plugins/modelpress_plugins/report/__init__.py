"""What a run did and found, as one page for a browser: the command `report`, and the observer `LivePage`."""

from __future__ import annotations

from modelpress.api import CommandSpec, ObserverSpec, hookimpl

MODELPRESS_API = 1

_PLOTLY = ("plotly>=6.0",)


@hookimpl
def modelpress_commands() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="report",
            summary="Show what a run did and found, as one page for a browser.",
            command="modelpress_plugins.report.command:command",
            requires=_PLOTLY,
            extra="report",
        )
    ]


@hookimpl
def modelpress_observers() -> list[ObserverSpec]:
    return [
        ObserverSpec(
            name="LivePage",
            summary="Shows the run as a page that goes along with it, on this machine alone.",
            open="modelpress_plugins.report.live:watch",
            config="modelpress_plugins.report.config:LivePageOptions",
            requires=_PLOTLY,
            extra="report",
        )
    ]
