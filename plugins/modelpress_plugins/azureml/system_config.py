"""Options of the system AzureML; the names are Olive's."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from modelpress.api import Options, Resource
from modelpress_plugins.azureml.config import ClientOptions, Filled

InputFile = Annotated[str | None, Resource()]


class DockerOptions(Options):
    """The image that jobs run in: one that exists, with what conda puts into it, or one that is built."""

    base_image: Filled | None = Field(
        default=None, description="An image that Azure can pull, `mcr.microsoft.com/azureml/…`."
    )
    dockerfile: str | None = Field(
        default=None, description="The Dockerfile in build_context_path. Unset: `Dockerfile`."
    )
    build_context_path: InputFile = Field(
        default=None, description="A folder; Azure builds the image from it."
    )
    conda_file_path: InputFile = Field(
        default=None,
        description="A conda environment file, made on top of base_image. What the passes need and it lacks "
        "is added, and told; one that was written for Olive is translated.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.base_image is None) == (self.build_context_path is None):
            raise ValueError("give base_image or build_context_path, one of the two")
        if self.build_context_path is not None and self.conda_file_path is not None:
            raise ValueError("conda_file_path goes with base_image; the Dockerfile installs what it needs")
        if self.dockerfile is not None and self.build_context_path is None:
            raise ValueError("dockerfile needs build_context_path, the folder that it is built from")
        return self


class EnvironmentOptions(Options):
    """An environment of the workspace or a registry, by name."""

    name: Filled = Field(description="The environment's name.")
    version: str | int | None = Field(default=None, description="Its version.")
    label: str | None = Field(default=None, description="Instead of a version: `latest`.")
    registry_name: Filled | None = Field(default=None, description="The registry that it is in.")

    @model_validator(mode="after")
    def _one_version(self) -> Self:
        if (self.version is None) == (self.label is None):
            raise ValueError("give version or label, one of the two")
        return self


class ResourcesOptions(Options):
    """What of the compute target a job takes."""

    instance_type: str | None = Field(
        default=None, description="The kind of instance, on a Kubernetes (Azure Arc) compute target."
    )
    shm_size: str | None = Field(default=None, description="Shared memory of the container: `4g`.")
    docker_args: str | None = Field(default=None, description="Further arguments of `docker run`.")


class AzureMLOptions(Options):
    """Jobs on a compute target of an AzureML workspace. What comes back: models, numbers, events."""

    azureml_client_config: ClientOptions = Field(
        default_factory=ClientOptions,
        description="The workspace. Unset: that of `azureml_client` at the top of the workflow.",
    )
    aml_compute: Filled = Field(description="The compute target: a cluster, or an attached Kubernetes.")
    aml_docker_config: DockerOptions | None = Field(default=None, description="The image that jobs run in.")
    aml_environment_config: EnvironmentOptions | None = Field(
        default=None, description="Instead of that: an environment that the workspace has."
    )
    resources: ResourcesOptions = Field(
        default_factory=ResourcesOptions, description="What of the compute target a job takes."
    )
    instance_count: int = Field(default=1, ge=1, description="How many nodes a job takes.")
    tags: dict[str, str] = Field(default_factory=dict, description="Put on each job, beside its lineage.")
    hf_token: bool = Field(
        default=False,
        description="Whether jobs read the Hugging Face token from the key vault, the secret `hf-token`.",
    )
    datastore: Filled = Field(
        default="workspaceblobstore", description="Where inputs and results of jobs are kept."
    )
    input_mode: Literal["ro_mount", "download"] = Field(
        default="ro_mount", description="How a node has its inputs: mounted, or fetched before it begins."
    )
    register_as: Filled | None = Field(
        default=None,
        description="The model that a run on it ends with is registered in the workspace by this name, with "
        "what it was made from as tags. Unset: it is not.",
    )
    max_jobs: int = Field(default=1, ge=1, description="How many jobs may be under way at once.")

    @model_validator(mode="after")
    def _one_environment(self) -> Self:
        if (self.aml_docker_config is None) == (self.aml_environment_config is None):
            raise ValueError("give aml_docker_config or aml_environment_config, one of the two")
        return self
