"""The system AzureML: the jobs of a chain are one command job of the workspace.

Nothing waits for it here but `watch`, which polls: a job's state from the workspace, its events from the
datastore to which the node carries them. Results stay there until they are needed elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol, cast

from azure.ai.ml.constants import AssetTypes
from azure.ai.ml.entities import BuildContext, Model
from azure.ai.ml.entities import Environment as AzureEnvironment
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from modelpress.api import (
    Accelerator,
    Environment,
    Event,
    Handle,
    Log,
    ModelpressError,
    Options,
    Tell,
    Traits,
    UserError,
    did_you_mean,
)
from modelpress_plugins.azureml.client import (
    Unreachable,
    asking,
    connect,
    connect_registry,
    patiently,
    status_of,
    workspace_of,
)
from modelpress_plugins.azureml.conda import CondaFile, read_conda
from modelpress_plugins.azureml.config import RemoteOptions
from modelpress_plugins.azureml.resources import is_within
from modelpress_plugins.azureml.store import Store, folder_digest
from modelpress_plugins.azureml.submission import Submission
from modelpress_plugins.azureml.system_config import AzureMLOptions, DockerOptions
from modelpress_plugins.azureml.watch import ENDED, Watch

_KEY = "modelpress.key"
_LONGEST = 256
"""Letters of a tag's name, and of its value."""


class _Compute(Protocol):
    """A compute target as the SDK gives it. type: `amlcompute`, `kubernetes`; size: of its machines."""

    name: str
    type: str


class AzureML:
    """Jobs on one compute target."""

    def __init__(self, options: AzureMLOptions, name: str) -> None:
        self.name = name
        self.traits = Traits(
            shares_files=False, keeps_artifacts=True, attachable=True, is_here=False, ships_code=True,
            max_jobs=options.max_jobs, joins_jobs=True, mounts=True,
            registers=options.register_as is not None,
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
        """What the jobs' environment is made from. What has to be there already is asked for, too."""
        self._compute()
        _ = self._store  # asks for the datastore
        conda = self._conda(requires)
        docker = self._options.aml_docker_config
        what = {
            "image": docker.base_image if docker else None,
            "conda": conda.content if conda else None,
            "named": self._named(),
            "context": _context(docker) if docker else None,
        }
        self._require_named()
        digest = hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()
        return Environment(digest=digest)

    def has(self, accelerator: Accelerator) -> bool:
        """Whether its machines have GPUs, which the names of their sizes say; a Kubernetes cluster is taken
        at the workflow's word."""
        if accelerator.device != "gpu":
            return accelerator.device == "cpu"
        try:
            size = str(getattr(self._compute(), "size", "") or "")
        except ModelpressError:
            return True  # what is wrong with the compute target is told by `environment`
        return not size or size.lower().startswith("standard_n")

    def prepare(self, requires: Sequence[str], tell: Tell) -> None:
        """Azure makes the environment with the first job that needs it."""
        self._requires, self._tell = tuple(requires), tell
        conda = self._conda(requires)
        for change in conda.changes if conda else ():
            tell(Log("note", f"conda_file_path: {change}."))

    def submit(self, folder: Path) -> Handle:
        return self.submit_joined([folder])[0]

    def submit_joined(self, folders: Sequence[Path]) -> Sequence[Handle]:
        work = Submission(self._options, self._store, folders, self._tell)
        patiently(lambda: self._submit(work), self._tell)
        return work.handles()

    def _submit(self, work: Submission) -> None:
        if self._status(work.name):
            return
        self._compute()
        try:
            asked = work.command(self._environment(self._requires or work.jobs[0].requires))
            with asking(f"the submission of {asked.display_name!r}"):
                self._ml.jobs.create_or_update(asked)
        except Unreachable:
            raise  # what is there already is gone on with
        except ModelpressError:
            self._store.remove(work.path)
            raise
        what = f"{asked.display_name}: submitted to {self._options.aml_compute!r} as {work.name}."
        self._tell(Log("note", what))

    def can_mount(self, options: Options) -> bool:
        """What lies in its own workspace, or a registry."""
        return isinstance(options, RemoteOptions) and is_within(options, self._place)

    def watch(self, handle: Handle, tell: Tell) -> None:
        Watch(self._ml, self._store, str(handle["job"]), str(handle["path"]), tell).until_it_ends()

    def collect(self, handle: Handle, parts: Sequence[str], folder: Path) -> None:
        for part in parts:
            patiently(partial(self._store.fetch, f"{handle['path']}/{part}", folder), self._tell)

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

    def register(self, model: Handle | Path, key: str, lineage: Mapping[str, str], tell: Tell) -> None:
        name = self._options.register_as or ""
        with asking(f"the model {name!r} of {self._place}"):
            if key in self._registered(name):
                return
            if isinstance(model, Path):
                address = self._store.put_input(key, "the model", model, tell)
            else:
                address = self._store.address(f"{model['path']}/out")
            tags = {name[:_LONGEST]: value[:_LONGEST] for name, value in {_KEY: key, **lineage}.items()}
            asset = Model(name=name, path=address, type=AssetTypes.CUSTOM_MODEL, tags=tags)
            made = self._ml.models.create_or_update(asset)
        tell(Log("note", f"The model is registered as azureml:{name}:{made.version}."))

    def _registered(self, name: str) -> set[str]:
        """The keys of its versions."""
        try:
            return {str((known.tags or {}).get(_KEY)) for known in self._ml.models.list(name=name)}
        except ResourceNotFoundError:
            return set()

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
        file = Path(docker.conda_file_path)
        return read_conda(file, requires) if file.is_file() else None  # told where the option is

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

    def _require_named(self) -> None:
        """Raises UserError where an environment that has a name is not there."""
        given = self._options.aml_environment_config
        if given is None:
            return
        place, ml = str(self._place), self._ml
        if given.registry_name is not None:
            place, ml = (
                f"the registry {given.registry_name!r}",
                connect_registry(self._client, given.registry_name),
            )
        version = None if given.version is None else str(given.version)
        hint = "The studio lists them, under Environments."
        with asking(f"the environment {given.name!r}, {version or given.label}, of {place}", hint=hint):
            ml.environments.get(given.name, version, given.label)

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


def _context(docker: DockerOptions) -> str | None:
    """What an image is built from. Raises UserError where there is no Dockerfile in it."""
    if docker.build_context_path is None:
        return None
    folder, name = Path(docker.build_context_path), docker.dockerfile or "Dockerfile"
    if not folder.is_dir():
        return None  # told where the option is
    if not (folder / name).is_file():
        raise UserError(
            f"There is no {name!r} in build_context_path {str(folder)!r}.",
            did_you_mean(name, [each.name for each in folder.iterdir()]),
        )
    return folder_digest(folder)


def open_azureml(options: AzureMLOptions, name: str) -> AzureML:
    """Nothing is asked yet."""
    return AzureML(options, name)


def _untold(event: Event) -> None:
    """Of a job that is being ended."""
