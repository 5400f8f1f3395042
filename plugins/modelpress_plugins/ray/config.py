"""Options of the system Ray."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from modelpress.api import Options


class RayOptions(Options):
    """A cluster that runs, or one of its own on this machine.

    Jobs on a cluster that runs go on when this process ends, and the next run takes them up. A cluster of its
    own ends with the run. Both need Ray in the Python of each machine; of a cluster that runs it has to be of
    this version, and its Python, too. modelpress and the passes are brought along.
    """

    address: str | None = Field(
        default=None,
        pattern=r"^(auto|local|(ray://)?[^\s/:]+:\d{1,5}|(ray://)?\[[0-9a-fA-F:.]+\]:\d{1,5})$",
        description="Of a cluster that runs: `host:6379` where this machine is one of its nodes, "
        "`ray://host:10001` from outside, `auto` for the one that was started here. Unset: a cluster of its "
        "own on this machine, reached by nobody else.",
    )
    shared_files: bool | None = Field(
        default=None,
        description="Whether the cluster's machines read the cache folder and the models of this one under "
        "the same paths, as with a shared file system: nothing is copied then. Where not, files go through "
        "the cluster's object store. Unset: it is so for a cluster on this machine.",
    )
    storage: str | None = Field(
        default=None,
        description="Where files are not shared: the folder on the cluster's head node in which inputs and "
        "results are kept for later steps. Unset: in its folder for temporary files.",
    )
    cpus: Annotated[float, Field(gt=0)] = Field(
        default=1,
        description="Processors for a job, where `needs` of its pass says nothing; as many threads.",
    )
    resources: dict[str, float] = Field(
        default_factory=dict, description="Of the cluster's own resources, what each job takes (`{tpu: 1}`)."
    )
    max_jobs: int = Field(
        default=16,
        ge=1,
        description="Jobs that are asked for at once; what the cluster has no room for waits.",
    )
    retries: int = Field(
        default=2,
        ge=0,
        description="How often a job whose process or machine died is begun again, from its checkpoint, on "
        "another machine where there is one.",
    )
    num_cpus: int | None = Field(
        default=None, ge=1, description="Of a cluster of its own: processors. Unset: this machine's."
    )
    num_gpus: int | None = Field(
        default=None, ge=0, description="Of a cluster of its own: GPUs. Unset: this machine's."
    )
    environment_variables: dict[str, str] | list[str] = Field(
        default_factory=list,
        description="For the worker, beside what it needs anyway: names of variables of this process, or "
        "names with values. Never logged.",
    )
    hf_token: bool | None = Field(
        default=None,
        description="Whether passes may use the Hugging Face token of the machine they run on (`HF_TOKEN` or "
        "the token file). False keeps it out of the worker, whatever else is named.",
    )

    @model_validator(mode="after")
    def _own_or_not(self) -> Self:
        if self.address and (self.num_cpus is not None or self.num_gpus is not None):
            raise ValueError("num_cpus and num_gpus are of a cluster of its own: leave them or address out")
        return self
