"""Run work on a Ray cluster: one that is there, or one of its own on this machine."""

from __future__ import annotations

from modelpress.api import SystemSpec, hookimpl

MODELPRESS_API = 1


@hookimpl
def modelpress_systems() -> list[SystemSpec]:
    return [
        SystemSpec(
            name="Ray",
            summary="A Ray cluster: many jobs at once, on as many machines as it has.",
            open="modelpress_plugins.ray.system:open_ray",
            config="modelpress_plugins.ray.config:RayOptions",
            requires=("ray>=2.50",),
            extra="ray",
        )
    ]
