"""Azure Resource Manager as far as a workspace goes: the workspace, its datastores, computes and assets."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from azure_emulator.storage import Place, Storage
from azure_emulator.web import Answer, Refused, Request, Web

Properties = dict[str, Any]
_WORKSPACE = (
    r"/subscriptions/([^/]+)/resourcegroups/([^/]+)/providers"
    r"/microsoft\.machinelearningservices/workspaces/([^/]+)"
)
_KINDS = "codes|environments|data|models|components"


@dataclass(frozen=True)
class Workspace:
    """Its names, and the hosts that it is told by."""

    subscription: str
    group: str
    name: str
    api: str
    vault: str

    @property
    def id(self) -> str:
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{self.name}"
        )


@dataclass
class Datastore:
    """credentials: AccountKey, Sas or None (by identity)."""

    place: Place
    credentials: str = "AccountKey"
    default: bool = False


@dataclass
class Arm:
    """What the workspace holds. Every path below it is first checked against its names."""

    web: Web
    workspace: Workspace
    storage: Storage
    datastores: dict[str, Datastore] = field(default_factory=dict)
    computes: dict[str, Properties] = field(default_factory=dict)
    assets: dict[str, Properties] = field(default_factory=dict)
    """`models/name/version` -> its properties."""
    images: set[str] | None = None
    """The images that can be pulled; None for any."""

    def __post_init__(self) -> None:
        add = self.below
        add("GET", "", self._workspace)
        add("GET", r"/datastores", self._list_datastores)
        add("GET", r"/datastores/([^/]+)", self._datastore)
        add("POST", r"/datastores/([^/]+)/listSecrets", self._secrets)
        add("GET", r"/computes", self._list_computes)
        add("GET", r"/computes/([^/]+)", self._compute)
        add("GET", rf"/({_KINDS})/([^/]+)/versions", self._versions)
        add("GET", rf"/({_KINDS})/([^/]+)/versions/([^/]+)", self._asset)
        add("PUT", rf"/({_KINDS})/([^/]+)/versions/([^/]+)", self._put_asset)
        add("GET", rf"/({_KINDS})/([^/]+)", self._container)
        add("POST", r"/(codes|data)/([^/]+)/versions/([^/]+)/startPendingUpload", self._pending_upload)

    def below(self, method: str, pattern: str, handler: Callable[[Request], Answer]) -> None:
        """A route below the workspace; the handler sees what matched after it."""

        def checked(request: Request) -> Answer:
            subscription, group, name, *rest = request.match
            self._require(subscription, group, name)
            return handler(Request(**{**vars(request), "match": tuple(rest)}))

        self.web.route(method, f"(?:/history/v1\\.0|/data/v1\\.0)?{_WORKSPACE}{pattern}", checked)

    def _require(self, subscription: str, group: str, name: str) -> None:
        here = self.workspace
        if subscription != here.subscription:
            raise Refused(
                404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found."
            )
        if group.lower() != here.group.lower():
            raise Refused(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")
        if name.lower() != here.name.lower():
            kind = "Microsoft.MachineLearningServices/workspaces"
            what = f"The Resource '{kind}/{name}' under resource group '{group}' was not found."
            raise Refused(404, "ResourceNotFound", what)

    def _workspace(self, _: Request) -> Answer:
        here = self.workspace
        account = next(store.place.account for store in self.datastores.values() if store.default)
        return Answer(
            {
                "id": here.id,
                "name": here.name,
                "location": "westeurope",
                "type": "Microsoft.MachineLearningServices/workspaces",
                "identity": {"type": "SystemAssigned"},
                "properties": {
                    "workspaceId": "33333333-3333-3333-3333-333333333333",
                    "discoveryUrl": f"{here.api}/discovery",
                    "mlFlowTrackingUri": f"azureml://{here.api.removeprefix('https://')}/mlflow/v1.0{here.id}",
                    "storageAccount": f"/providers/Microsoft.Storage/storageAccounts/{account}",
                    "keyVault": f"/subscriptions/{here.subscription}/resourceGroups/{here.group}"
                    f"/providers/Microsoft.KeyVault/vaults/{here.vault}",
                },
            }
        )

    def _told(self, path: str, properties: Properties) -> Properties:
        kind = "Microsoft.MachineLearningServices/workspaces/" + path.split("/")[0]
        return {
            "id": f"{self.workspace.id}/{path}",
            "name": path.rsplit("/", 1)[1],
            "type": kind,
            "properties": properties,
            "systemData": {"createdAt": "2026-01-01T00:00:00Z", "createdBy": "x", "createdByType": "User"},
        }

    def _find_datastore(self, name: str) -> Datastore:
        try:
            return self.datastores[name]
        except KeyError:
            raise Refused(404, "UserError", f"Error: The datastore {name} was not found.") from None

    def _store(self, name: str) -> Properties:
        found = self._find_datastore(name)
        properties = {
            "datastoreType": "AzureBlob",
            "accountName": found.place.account,
            "containerName": found.place.container,
            "endpoint": self.storage.suffix,
            "protocol": "https",
            "isDefault": found.default,
            "credentials": {"credentialsType": found.credentials},
        }
        return self._told(f"datastores/{name}", properties)

    def _datastore(self, request: Request) -> Answer:
        return Answer(self._store(request.match[0]))

    def _list_datastores(self, request: Request) -> Answer:
        wanted = request.query.get("isDefault") == "true"
        named = [name for name, store in self.datastores.items() if store.default or not wanted]
        return Answer({"value": [self._store(name) for name in named]})

    def _secrets(self, request: Request) -> Answer:
        found = self._find_datastore(request.match[0])
        if found.credentials == "AccountKey":
            return Answer({"secretsType": "AccountKey", "key": self.storage.keys[found.place.account]})
        if found.credentials == "Sas":
            return Answer({"secretsType": "Sas", "sasToken": self.storage.sas(found.place)})
        raise Refused(400, "UserError", "No secrets for a datastore without credentials.")

    def _compute(self, request: Request) -> Answer:
        name = request.match[0]
        if name not in self.computes:
            raise Refused(404, "ResourceNotFound", f"Compute {name} was not found.")
        return Answer(self._told_compute(name))

    def _list_computes(self, _: Request) -> Answer:
        return Answer({"value": [self._told_compute(name) for name in self.computes]})

    def _told_compute(self, name: str) -> Properties:
        return {**self._told(f"computes/{name}", self.computes[name]), "location": "westeurope"}

    def _versions(self, request: Request) -> Answer:
        kind, name = request.match
        found = []
        for path, properties in self.assets.items():
            if not path.startswith(f"{kind}/") or (kind != "codes" and path.split("/")[1] != name):
                continue
            if "hash" in request.query:  # the name is drawn anew for each upload: the content tells
                hashes = (properties.get("properties") or {}).get("hash_sha256")
                if hashes != request.query["hash"]:
                    continue
            folder, version = path.rsplit("/", 1)
            found.append(self._told(f"{folder}/versions/{version}", properties))
        if kind != "codes" and not found and "$top" in request.query:
            raise Refused(404, "UserError", f"No {kind} named {name}.")
        return Answer({"value": found[::-1]})

    def _asset(self, request: Request) -> Answer:
        kind, name, version = request.match
        try:
            properties = self.assets[f"{kind}/{name}/{version}"]
        except KeyError:
            what = f"{kind} container with name {name} and version {version} was not found."
            raise Refused(404, "UserError", what) from None
        return Answer(self._told(f"{kind}/{name}/versions/{version}", properties))

    def _container(self, request: Request) -> Answer:
        kind, name = request.match
        versions = [path.rsplit("/", 1)[1] for path in self.assets if path.startswith(f"{kind}/{name}/")]
        if not versions:
            raise Refused(404, "UserError", f"No {kind} named {name}.")
        following = str(1 + max(int(v) for v in versions if v.isdigit()))
        return Answer(self._told(f"{kind}/{name}", {"latestVersion": versions[-1], "nextVersion": following}))

    def _put_asset(self, request: Request) -> Answer:
        kind, name, version = request.match
        properties = {**request.body["properties"]}
        if kind == "models":
            properties.setdefault("flavors", {})
        self.assets[f"{kind}/{name}/{version}"] = properties
        return Answer(self._told(f"{kind}/{name}/versions/{version}", properties), 201)

    def _pending_upload(self, request: Request) -> Answer:
        _, name, _ = request.match
        account = next(store.place for store in self.datastores.values() if store.default)
        place = Place(account.account, f"code-{name}"[:60].lower())
        self.storage.make(place)
        url = self.storage.url(place)
        credential = {"credentialType": "SAS", "sasUri": f"{url}?{self.storage.sas(place)}"}
        reference = {"blobUri": url, "credential": credential, "storageAccountArmId": "x"}
        return Answer(
            {"blobReferenceForConsumption": reference, "pendingUploadType": "TemporaryBlobReference"}
        )

    def asset_place(self, address: str) -> Place:
        """Where the bytes of an address lie that the SDK takes for an input or output."""
        if found := re.fullmatch(r"azureml:/+(?:.*/)?datastores/([^/]+)/paths/(.*)", address):
            return self._find_datastore(found[1]).place.under(found[2].rstrip("/"))
        if found := re.fullmatch(r"(?:azureml:)?/.*/(models|data)/([^/]+)/versions/([^/]+)", address):
            properties = self.assets[f"{found[1]}/{found[2]}/{found[3]}"]
            return self.asset_place(properties.get("modelUri") or properties["dataUri"])
        if found := re.fullmatch(r"https://([^.]+)\.blob\.[^/]+/([^/]+)/?(.*)", address):
            return Place(found[1], found[2], found[3].rstrip("/"))
        raise Refused(400, "UserError", f"No such address: {address}")
