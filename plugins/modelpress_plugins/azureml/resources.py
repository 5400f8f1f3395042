"""What lies on AzureML: found by name, known by the etags of its blobs, brought here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast

from azure.ai.ml import MLClient
from azure.ai.ml._utils._registry_utils import get_storage_details_for_registry_assets
from azure.ai.ml.constants import AssetTypes
from azure.core.credentials import TokenCredential
from azure.core.exceptions import ResourceNotFoundError

from modelpress.api import HostError, JSONValue, UserError, did_you_mean
from modelpress_plugins.azureml.blobs import Blobs, container_at
from modelpress_plugins.azureml.client import (
    Workspace,
    asking,
    connect,
    connect_registry,
    credential_of,
    status_of,
    workspace_of,
)
from modelpress_plugins.azureml.config import (
    AddressOptions,
    ClientOptions,
    DatastoreOptions,
    JobOutputOptions,
    ModelOptions,
    RegistryModelOptions,
    RemoteOptions,
)

_DATASTORE = re.compile(r"azureml:/+(?:subscriptions/([^/]+)/resource[gG]roups/([^/]+)/(?:providers/[^/]+/)?"
                        r"workspaces/([^/]+)/)?datastores/([^/]+)/paths/(.*)")  # fmt: skip
_REGISTRY = re.compile(r"azureml:/+registries/([^/]+)/models/(.+)/versions/([^/]+)")
_MODEL = re.compile(r"azureml:/+models/([^/]+)/versions/([^/]+)")
_JOB = re.compile(r"azureml:/+jobs/([^/]+)/outputs/([^/]+)(?:/paths/(.*))?")
_BLOB = re.compile(r"(https://[^/]+/[^/]+)/?(.*)")


def identity(options: RemoteOptions) -> str:
    """What the content is, without fetching it."""
    return blobs_of(options).identity()


def fetch(options: RemoteOptions, folder: Path) -> Path:
    """Bring it below the folder; what an earlier try left there is gone on with."""
    return blobs_of(options).fetch(folder)


@dataclass(frozen=True, slots=True)
class Mounted:
    """An input of a job. kind: as Azure calls it (`uri_file`, `uri_folder`, `mlflow_model`)."""

    address: str
    kind: str


_OPTIONS: Mapping[str, type[RemoteOptions]] = {
    "azureml_datastore": DatastoreOptions,
    "azureml_model": ModelOptions,
    "azureml_registry_model": RegistryModelOptions,
    "azureml_job_output": JobOutputOptions,
    "azureml_address": AddressOptions,
}


def mounted(resource: Mapping[str, JSONValue]) -> Mounted:
    """How a job has the resource, given as a job says it, as an input. Raises UserError where it is not there
    any more."""
    values = {name: value for name, value in resource.items() if name != "type"}
    blobs = blobs_of(_OPTIONS[str(resource["type"])].parse(values))
    if blobs.asset:
        return Mounted(blobs.address, blobs.asset)
    is_file = blobs.found()[0].path == ""
    return Mounted(blobs.address, AssetTypes.URI_FILE if is_file else AssetTypes.URI_FOLDER)


def is_within(options: RemoteOptions, place: Workspace) -> bool:
    """Whether jobs of the workspace can have it as an input: it lies there, or in a registry."""
    if isinstance(options, RegistryModelOptions):
        return True
    if isinstance(options, AddressOptions):
        if _REGISTRY.fullmatch(options.address):
            return True
        if (long := _DATASTORE.fullmatch(options.address)) and long[1]:
            return Workspace(long[1], long[2], long[3]) == place
    return workspace_of(options.azureml_client) == place


def blobs_of(options: RemoteOptions) -> Blobs:
    """Where the bytes of a resource lie."""
    client = options.azureml_client
    if isinstance(options, DatastoreOptions):
        return datastore_blobs(client, options.datastore_name, options.relative_path)
    if isinstance(options, RegistryModelOptions):
        return _registry_model(client, options.registry_name, options.name, str(options.version))
    if isinstance(options, ModelOptions):
        return _model(client, options.name, str(options.version))
    if isinstance(options, JobOutputOptions):
        return _job_output(client, options.job_name, options.output_name, options.relative_path)
    if isinstance(options, AddressOptions):
        return _at(client, options.address)
    raise TypeError(f"{type(options).__name__} names nothing on AzureML")


def datastore_blobs(client: ClientOptions, name: str, path: str) -> Blobs:
    """The blobs at a path of a datastore."""
    ml = connect(client)
    place = workspace_of(client)
    with asking(f"the datastore {name!r} of {place}"):
        try:
            store = cast("_Datastore", ml.datastores.get(name, include_secrets=True))
        except ResourceNotFoundError as error:
            if hint := _other_datastores(ml, name, str(error)):
                raise UserError(f"There is no datastore {name!r} in {place}.", hint) from None
            raise
    where = getattr(store, "container_name", "") or getattr(store, "filesystem", "")
    if not where:
        raise UserError(f"The datastore {name!r} holds no blobs: {store.type} cannot be read yet.")
    url = f"{store.protocol or 'https'}://{store.account_name}.blob.{_endpoint(store)}/{where}"
    container = container_at(url, _credential(store, client), client)
    return Blobs(container, path, f"{path!r} of the datastore {name!r}", _long(place, name, path))


def _long(place: Workspace, name: str, path: str) -> str:
    """The address that names its workspace, too."""
    workspace = f"subscriptions/{place.subscription}/resourcegroups/{place.group}/workspaces/{place.name}"
    return f"azureml://{workspace}/datastores/{name}/paths/{path.strip('/')}"


class _Datastore(Protocol):
    """A datastore as the SDK gives it. credentials: what the service tells for it, or nothing."""

    type: str
    account_name: str
    endpoint: str
    protocol: str
    credentials: object


def _other_datastores(ml: MLClient, name: str, told: str) -> str:
    """A hint, where the datastore alone is not there; empty where the workspace is not."""
    if "datastore" not in told.lower():
        return ""
    return did_you_mean(name, [str(store.name) for store in ml.datastores.list()])


def _endpoint(store: _Datastore) -> str:
    return (store.endpoint or "core.windows.net").removeprefix("dfs.").removeprefix("blob.")


def _credential(store: _Datastore, client: ClientOptions) -> str | TokenCredential:
    """Its account key or SAS; where it has neither, the identity that is signed in."""
    given = store.credentials
    for name in ("account_key", "sas_token"):
        if secret := getattr(given, name, None):
            return str(secret)
    return credential_of(client)


def _model(client: ClientOptions, name: str, version: str) -> Blobs:
    ml = connect(client)
    what = f"the model {name!r}, version {version!r}, of {workspace_of(client)}"
    with asking(what):
        found = ml.models.get(name, label="latest") if version == "latest" else ml.models.get(name, version)
    blobs = _at(client, str(found.path))
    return replace(blobs, words=what)


def _registry_model(client: ClientOptions, registry: str, name: str, version: str) -> Blobs:
    name = name.rpartition("/")[2]  # `owner/name`, as on a hub: names in a registry have no slash
    what = f"the model {name!r}, version {version!r}, of the registry {registry!r}"
    with asking(f"the registry {registry!r}", hint="Check registry_name."):
        ml = connect_registry(client, registry)
    with asking(what, hint="The studio lists names and versions, under Registries, Models."):
        found = ml.models.get(name, label="latest") if version == "latest" else ml.models.get(name, version)
        url = _signed(ml, str(found.name), str(found.version or version), registry, str(found.path))
    place = _BLOB.fullmatch(str(found.path))
    if place is None:
        raise HostError(f"The registry says that {what} lies at {found.path!r}, which is no blob's address.")
    container, _, signature = url.partition("?")
    root = _BLOB.fullmatch(container)
    base = root[1] if root else place[1]
    there = container_at(f"{base}?{signature}" if signature else base, None, client)
    address = f"azureml://registries/{registry}/models/{found.name}/versions/{found.version or version}"
    return Blobs(there, place[2], what, address, str(found.type or AssetTypes.CUSTOM_MODEL))


def _signed(ml: MLClient, name: str, version: str, registry: str, uri: str) -> str:
    """The address with leave to read it. The SDK has no public way to it but downloading whole models, unseen
    and from the start: azure-ai-ml 1.35."""
    models = ml.models
    url, _ = get_storage_details_for_registry_assets(
        service_client=models._registry_service_client,
        asset_type="models", asset_name=name, asset_version=version,
        rg_name=models._resource_group_name, reg_name=registry, uri=uri,
    )  # fmt: skip
    return str(url)


def _job_output(client: ClientOptions, job: str, output: str, path: str) -> Blobs:
    ml = connect(client)
    place = workspace_of(client)
    with asking(f"the job {job!r} of {place}", hint="The studio lists them, under Jobs."):
        found = ml.jobs.get(job)
    outputs = found.outputs or {}
    if output not in outputs:
        hint = did_you_mean(output, [name for name in outputs if name != "default"], what="It has")
        raise UserError(f"The job {job!r} has no output {output!r}.", hint or "It has none with a name.")
    if (status := status_of(found)) not in ("Completed", "Finished"):
        raise UserError(f"The job {job!r} has not ended well: it is {status}.", "Wait, or name another.")
    told = getattr(outputs[output], "path", None)
    address = str(told or f"azureml://datastores/workspaceblobstore/paths/azureml/{job}/{output}")
    blobs = _at(client, address.replace("${{name}}", job))
    below = path.strip("/")
    return replace(
        blobs,
        path="/".join(part for part in (blobs.path.strip("/"), below) if part),
        words=f"the output {output!r} of the job {job!r}",
        address="/".join(part for part in (blobs.address, below) if part),
    )


def _at(client: ClientOptions, address: str) -> Blobs:
    """What an address names."""
    if found := _DATASTORE.fullmatch(address):
        subscription, group, workspace, name, path = found.groups()
        if workspace:
            there = {"subscription_id": subscription, "resource_group": group, "workspace_name": workspace}
            client = client.model_copy(update={**there, "aml_config_path": None})
        return datastore_blobs(client, name, path.rstrip("/"))
    if found := _REGISTRY.fullmatch(address):
        return _registry_model(client, found[1], found[2], found[3])
    if found := _MODEL.fullmatch(address):
        return _model(client, found[1], found[2])
    if found := _JOB.fullmatch(address):
        return _job_output(client, found[1], found[2], found[3] or "")
    raise UserError(
        f"{address!r} is no address of AzureML that can be read.",
        "Write azureml://datastores/NAME/paths/PATH, azureml://registries/NAME/models/NAME/versions/VERSION, "
        "azureml://models/NAME/versions/VERSION or azureml://jobs/NAME/outputs/NAME.",
    )
