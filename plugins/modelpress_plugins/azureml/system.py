"""The system AzureML: each job is a command job of the workspace.

Nothing waits for it here but `watch`, which polls: a job's state from the workspace, its events from the
datastore to which the node carries them. Results stay there until they are needed elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from azure.ai.ml import Input, Output, command
from azure.ai.ml.constants import AssetTypes, InputOutputModes
from azure.ai.ml.entities import BuildContext
from azure.ai.ml.entities import Environment as AzureEnvironment
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from modelpress.api import (
    Accelerator,
    ArtifactGone,
    Environment,
    Event,
    Handle,
    Job,
    Log,
    ModelpressError,
    Tell,
    Traits,
    UserError,
    did_you_mean,
    read_job,
)
from modelpress_plugins.azureml import on_node
from modelpress_plugins.azureml.client import asking, connect, status_of, workspace_of
from modelpress_plugins.azureml.conda import CondaFile, read_conda
from modelpress_plugins.azureml.store import Store
from modelpress_plugins.azureml.system_config import AzureMLOptions
from modelpress_plugins.azureml.vault import vault_of
from modelpress_plugins.azureml.watch import ENDED, Watch


class _Compute(Protocol):
    """A compute target as the SDK gives it. type: `amlcompute`, `kubernetes`; size: of its machines."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class _Given:
    """An input of a command job: its name there, and what it is called in the job's folder."""

    argument: str
    name: str
    input: Input


class AzureML:
    """Jobs on one compute target."""

    def __init__(self, options: AzureMLOptions, name: str) -> None:
        self.name = name
        self.traits = Traits(
            shares_files=False, keeps_artifacts=True, attachable=True, is_here=False, ships_code=True,
            max_jobs=options.max_jobs,
        )  # fmt: skip
        self._options = options
        self._client = options.azureml_client_config
        self._place = workspace_of(self._client)
        self._ml = connect(self._client)
        self._requires: tuple[str, ...] = ()
        self._tell: Tell = lambda event: None
        self._found: _Compute | None = None
        self._kept: Store | None = None

    def environment(self, requires: Sequence[str]) -> Environment:
        """What the jobs' environment is made from. The compute target is asked for as well: nothing is worth
        doing without it."""
        self._compute()
        conda = self._conda(requires)
        docker = self._options.aml_docker_config
        what = {
            "image": docker.base_image if docker else None,
            "conda": conda.content if conda else None,
            "named": self._named(),
            "context": docker.build_context_path if docker else None,
        }
        digest = hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()
        return Environment(digest=digest)

    def has(self, accelerator: Accelerator) -> bool:
        """Whether its machines have GPUs, which the names of their sizes say; a Kubernetes cluster is taken
        at the workflow's word."""
        try:
            size = str(getattr(self._compute(), "size", "") or "")
        except ModelpressError:
            return True  # what is wrong with the compute target is told by `environment`
        return accelerator.device == "cpu" or not size or size.lower().startswith("standard_n")

    def prepare(self, requires: Sequence[str], tell: Tell) -> None:
        """Azure makes the environment with the first job that needs it."""
        self._requires, self._tell = tuple(requires), tell
        conda = self._conda(requires)
        for change in conda.changes if conda else ():
            tell(Log("note", f"conda_file_path: {change}."))

    def submit(self, folder: Path) -> Handle:
        job = read_job(folder)
        handle = {"job": job.id, "path": f"jobs/{job.id}"}
        if self._status(job.id):
            return handle
        self._compute()
        try:
            self._create(job, folder)
        except ModelpressError:
            self._store.remove(f"jobs/{job.id}")
            raise
        return handle

    def watch(self, handle: Handle, tell: Tell) -> None:
        Watch(self._ml, self._store, str(handle["job"]), str(handle["path"]), tell).until_it_ends()

    def collect(self, handle: Handle, parts: Sequence[str], folder: Path) -> None:
        for part in parts:
            self._store.fetch(f"{handle['path']}/done/{part}", folder)

    def cancel(self, handle: Handle) -> None:
        name = str(handle["job"])
        if self._status(name) in ("", *ENDED):
            return
        with asking(f"the end of the job {name!r}"):
            try:
                self._ml.jobs.begin_cancel(name).result()
            except HttpResponseError:
                if self._status(name) not in ENDED:
                    raise
        Watch(self._ml, self._store, name, str(handle["path"]), _untold).until_it_is_over()

    def close(self) -> None:
        """Jobs go on without us."""

    @property
    def _store(self) -> Store:
        if self._kept is None:
            self._kept = Store(self._client, self._options.datastore)
        return self._kept

    def _compute(self) -> _Compute:
        if self._found is None:
            name = self._options.aml_compute
            with asking(f"the compute target {name!r} of {self._place}"):
                try:
                    self._found = cast("_Compute", self._ml.compute.get(name))
                except ResourceNotFoundError as error:
                    if "compute" not in str(error).lower():
                        raise
                    known = [str(each.name) for each in self._ml.compute.list()]
                    raise UserError(
                        f"There is no compute target {name!r} in {self._place}.",
                        did_you_mean(name, known) or "Make one in the studio, under Compute.",
                    ) from None
        return self._found

    def _status(self, job: str) -> str:
        """Of a job; empty when there is none."""
        with asking(f"the job {job!r}"):
            try:
                return status_of(self._ml.jobs.get(job))
            except ResourceNotFoundError:
                return ""

    def _conda(self, requires: Sequence[str]) -> CondaFile | None:
        docker = self._options.aml_docker_config
        if docker is None or docker.conda_file_path is None:
            return None
        return read_conda(Path(docker.conda_file_path), requires)

    def _named(self) -> str:
        """The address of an environment that has a name."""
        given = self._options.aml_environment_config
        if given is None:
            return ""
        version = f"/versions/{given.version}" if given.version is not None else f"/labels/{given.label}"
        if given.registry_name is not None:
            return f"azureml://registries/{given.registry_name}/environments/{given.name}{version}"
        return f"azureml:{given.name}" + (
            f":{given.version}" if given.version is not None else f"@{given.label}"
        )

    def _environment(self, requires: Sequence[str]) -> AzureEnvironment | str:
        docker = self._options.aml_docker_config
        if docker is None:
            return self._named()
        if docker.build_context_path is not None:
            return AzureEnvironment(
                build=BuildContext(path=docker.build_context_path, dockerfile_path=docker.dockerfile)
            )
        conda = self._conda(requires)
        return AzureEnvironment(image=docker.base_image, conda_file=conda.content if conda else None)

    def _create(self, job: Job, folder: Path) -> None:
        store, path = self._store, f"jobs/{job.id}"
        node = Path(on_node.__file__)
        own = Input(type=AssetTypes.URI_FOLDER, path=store.put_job(path, folder, node))
        code = Input(type=AssetTypes.URI_FILE, path=store.put_code(folder / "code"))
        others = self._inputs(job, folder)
        named = " ".join(f"{shlex.quote(f'{each.name}=')}${{{{inputs.{each.argument}}}}}" for each in others)
        resources = self._options.resources
        work = command(
            name=job.id,
            display_name=f"{job.name} ({job.origin.name})",
            experiment_name="modelpress",
            command="python ${{inputs.job}}/on_node.py ${{inputs.job}} ${{outputs.done}} ${{inputs.code}} "
            + named,
            inputs={"job": own, "code": code, **{each.argument: each.input for each in others}},
            outputs={
                "done": Output(
                    type=AssetTypes.URI_FOLDER,
                    path=store.address(f"{path}/done"),
                    mode=InputOutputModes.RW_MOUNT,
                )
            },
            environment=self._environment(self._requires or job.requires),
            environment_variables=self._variables(job),
            compute=self._options.aml_compute,
            instance_count=self._options.instance_count,
            instance_type=resources.instance_type,
            shm_size=resources.shm_size,
            docker_args=resources.docker_args,
            timeout=int(job.needs.time) or None,
            tags={**_lineage(job), **self._options.tags},
        )
        with asking(f"the submission of {job.name!r}"):
            self._ml.jobs.create_or_update(work)
        self._tell(Log("note", f"{job.name}: submitted to {self._options.aml_compute!r} as {job.id}."))

    def _inputs(self, job: Job, folder: Path) -> list[_Given]:
        found = []
        for number, (name, source) in enumerate(job.sources.items()):
            if source.writable:
                continue
            if source.kept is not None:
                out = f"{source.kept['path']}/done/out"
                if not self._store.has(out):
                    raise ArtifactGone(f"The input {name}")
                address, kind = self._store.address(out), AssetTypes.URI_FOLDER
            else:
                here = Path((folder / "inputs" / f"{name}.ref").read_text(encoding="utf-8"))
                put = self._store.put_input(source.identity, name, here, self._tell)
                address, kind = put.address, AssetTypes.URI_FOLDER if put.folder else AssetTypes.URI_FILE
            found.append(_Given(f"in_{number}", name, Input(type=kind, path=address)))
        return found

    def _variables(self, job: Job) -> Mapping[str, str]:
        """Where the node reads secrets: the key vault, never what a job says of itself."""
        if not (self._options.hf_token or job.secrets):
            return {}
        vault = vault_of(self._client)
        wanted = {"MODELPRESS_HF_TOKEN_VAULT": self._options.hf_token, "MODELPRESS_VAULT": bool(job.secrets)}
        return {name: vault for name, needed in wanted.items() if needed}


def open_azureml(options: AzureMLOptions, name: str) -> AzureML:
    """Nothing is asked yet."""
    return AzureML(options, name)


def _lineage(job: Job) -> dict[str, str]:
    """What a job is of, as its tags."""
    return {
        "modelpress": str(job.origin.name),
        "modelpress.step": job.name,
        "modelpress.input": job.model.key[:200],
        "modelpress.by": str(job.origin)[:200],
    }


def _untold(event: Event) -> None:
    """Of a job that is being ended."""
