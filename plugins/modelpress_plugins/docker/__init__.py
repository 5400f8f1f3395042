"""Run work in containers of this machine: Docker, or Podman by the address that Docker's programs use."""

from __future__ import annotations

from modelpress.api import Rename, SystemSpec, hookimpl

MODELPRESS_API = 1

_NESTED = ("image_name", "dockerfile", "build_context_path", "build_args", "run_params")


@hookimpl
def modelpress_systems() -> list[SystemSpec]:
    return [
        SystemSpec(
            name="Docker",
            summary="Containers of this machine, one for each job, of an image that is named or built.",
            aliases=("DockerSystem",),
            open="modelpress_plugins.docker.system:open_docker",
            config="modelpress_plugins.docker.config:DockerOptions",
            requires=("docker>=7.1",),
            extra="docker",
            renames=(
                *(Rename(f"local_docker_config.{name}", name) for name in _NESTED),
                Rename(
                    "local_docker_config.requirements_file_path",
                    None,
                    why="the image installs what the passes need: write a Dockerfile",
                ),
                Rename("local_docker_config", None, why="what it held are options of the system"),
                Rename("is_dev", None, why="what is installed here is what runs there"),
                Rename("olive_managed_env", None, why="the image installs what the passes need"),
                Rename("requirements_file", None, why="the image installs what the passes need"),
            ),
        )
    ]
