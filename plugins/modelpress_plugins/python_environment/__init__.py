"""Run work on this machine in another Python environment, one that exists already."""

from __future__ import annotations

from modelpress.api import SystemSpec, hookimpl

MODELPRESS_API = 1


@hookimpl
def modelpress_systems() -> list[SystemSpec]:
    return [
        SystemSpec(
            name="PythonEnvironment",
            summary="Another Python environment on this machine (a venv, a conda environment).",
            open="modelpress_plugins.python_environment.run:open_environment",
            config="modelpress_plugins.python_environment.config:PythonEnvironmentOptions",
        )
    ]
