"""Run work on this machine, in the Python that runs modelpress, in one warm worker process."""

from __future__ import annotations

from modelpress.api import LibrarySpec, SystemSpec, hookimpl

MODELPRESS_API = 1


@hookimpl
def modelpress_systems() -> list[SystemSpec]:
    return [
        SystemSpec(
            name="LocalSystem",
            summary="This machine, this Python: one warm worker process per run.",
            open="modelpress_plugins.local.run:open_local",
            config="modelpress_plugins.local.config:LocalOptions",
        )
    ]


@hookimpl
def modelpress_libraries() -> list[LibrarySpec]:
    return [
        LibrarySpec(
            name="torch",
            summary="What passes compute with: whether it can use the GPU of this machine.",
            check="modelpress_plugins.local.graphics:check",
        )
    ]
