"""Options of Docker; the names are Olive's where Olive has the thing."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, JsonValue, StringConstraints, model_validator

from modelpress.api import LocalPath, Options, Size

Absolute = Annotated[str, StringConstraints(pattern=r"^/.*[^/]$")]


class DockerOptions(Options):
    """An image that is named, or one that is built from a context: either needs Python 3.11 or later and what
    the passes need, with pydantic, pluggy, psutil, filelock, platformdirs and xxhash. modelpress itself and
    the passes are brought along.
    """

    image_name: str | None = Field(
        default=None,
        min_length=1,
        description="The image, as `docker run` takes it. With build_context_path: its further name.",
    )
    build_context_path: Annotated[str | None, LocalPath()] = Field(
        default=None,
        description="A folder from which the image is built, or a Dockerfile that needs no other file. What "
        "a `.dockerignore` names is left out. It is built once for the same content.",
    )
    dockerfile: str | None = Field(
        default=None, description="The Dockerfile, as seen from build_context_path. Unset: `Dockerfile`."
    )
    build_args: dict[str, str] = Field(
        default_factory=dict, description="Values of the Dockerfile's `ARG`s. No secrets: images keep them."
    )
    clean_image: bool = Field(
        default=False, description="Whether an image that was built is removed at the end of the run."
    )
    pull: bool = Field(
        default=False, description="Whether an image that is not here is fetched from its registry."
    )
    python: str = Field(
        default="python3", min_length=1, description="The Python of the image: a name or a path in it."
    )
    work_dir: Absolute = Field(
        default="/modelpress", description="Where in the container the job and its inputs are mounted."
    )
    network: str = Field(
        default="none",
        min_length=1,
        description="What of the network a job can reach: `none`, `bridge` (all of it), `host`, or the name "
        "of a network of the engine.",
    )
    memory: Size | None = Field(
        default=None, description="Most memory of a container (`8GB`); a job that takes more is ended."
    )
    cpus: float | None = Field(default=None, gt=0, description="Most processors of a container (`1.5`).")
    shm_size: Size | None = Field(
        default=None, description="Shared memory of a container. Unset: the engine's, 64 MB as a rule."
    )
    gpus: int | None = Field(
        default=None,
        ge=1,
        description="How many GPUs a job gets that runs on one. Unset: as many as it says, else all.",
    )
    environment_variables: dict[str, str] | list[str] = Field(
        default_factory=list,
        description="For the worker: names of variables of this process, or names with values. Never logged, "
        "and not kept by the engine.",
    )
    hf_token: bool = Field(
        default=False,
        description="Whether jobs may use the Hugging Face token of this machine (`HF_TOKEN`, or its file).",
    )
    run_params: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Further arguments of `containers.run` of the docker package (`volumes`, `cap_add`, "
        "`devices` …); they count more than what is set here.",
    )
    docker_host: str | None = Field(
        default=None,
        description="Address of the engine (`unix:///run/podman/podman.sock`). Unset: that of `DOCKER_HOST`, "
        "else of Docker's current context.",
    )
    max_jobs: int = Field(default=1, ge=1, description="How many containers may be at work at once.")

    @model_validator(mode="after")
    def _one_image(self) -> Self:
        if self.image_name is None and self.build_context_path is None:
            raise ValueError("give image_name, an image that is there, or build_context_path to build one")
        if self.dockerfile is not None and self.build_context_path is None:
            raise ValueError("dockerfile needs build_context_path, the folder that it is built from")
        if self.pull and self.build_context_path is not None:
            raise ValueError("pull fetches an image by its name; build_context_path builds one")
        return self
