"""Run work on this machine in another Python environment, one that exists or one that is made for it."""

from __future__ import annotations

from modelpress.api import Rename, SystemSpec, hookimpl

MODELPRESS_API = 1


@hookimpl
def modelpress_systems() -> list[SystemSpec]:
    return [
        SystemSpec(
            name="PythonEnvironment",
            summary="Another Python environment on this machine, one that exists or one that is made.",
            renames=(Rename("olive_managed_env", "managed"),),
            open="modelpress_plugins.python_environment.run:open_environment",
            config="modelpress_plugins.python_environment.config:PythonEnvironmentOptions",
        )
    ]
