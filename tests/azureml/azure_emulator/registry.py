"""Registries: their discovery, the models in them, and the credentials to read those."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from azure_emulator.storage import Place, Storage
from azure_emulator.web import Answer, Refused, Request, Web

_BELOW = (
    r"/mferp/managementfrontend/subscriptions/[^/]+/resourceGroups/[^/]+/providers"
    r"/microsoft\.machinelearningservices/registries/([^/]+)"
)


@dataclass
class Registries:
    """models: registry -> name -> version -> place of its files and its type."""

    web: Web
    storage: Storage
    host: str
    models: dict[str, dict[str, dict[str, tuple[Place, str]]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        discovery = r"/registrymanagement/v1\.0/registries/([^/]+)/discovery"
        self.web.route("GET", discovery, self._discovery)
        self.web.route("GET", rf"{_BELOW}/models/(.+)/versions", self._versions)
        self.web.route("GET", rf"{_BELOW}/models/(.+)/versions/([^/]+)", self._model)
        self.web.route("POST", rf"{_BELOW}/datarefs/(.+)/versions/([^/]+)", self._reference)
        self.web.route("POST", rf"{_BELOW}/models/(.+)/versions/([^/]+)/datarefs?", self._reference)

    def put(self, registry: str, name: str, version: str, place: Place, kind: str = "mlflow_model") -> None:
        self.models.setdefault(registry, {}).setdefault(name, {})[version] = place, kind

    def find(self, registry: str, name: str, version: str) -> Place:
        return self._find(registry, name, version)[0]

    def _find(self, registry: str, name: str, version: str) -> tuple[Place, str]:
        try:
            return self.models[registry][name][version]
        except KeyError:
            raise Refused(
                404, "UserError", f"Model container with name {name} and version {version} was not found."
            ) from None

    def _discovery(self, request: Request) -> Answer:
        name = request.match[0]
        if name not in self.models:
            raise Refused(404, "UserError", f"Registry {name} was not found.")
        return Answer(
            {
                "registryName": name,
                "primaryRegion": "westeurope",
                "primaryRegionResourceProviderUri": f"https://{self.host}/",
                "resourceGroup": "registry-group",
                "subscriptionId": "44444444-4444-4444-4444-444444444444",
                "registryFqdns": {},
            }
        )

    def _told(self, registry: str, name: str, version: str) -> dict[str, Any]:
        place, kind = self._find(registry, name, version)
        return {
            "id": f"azureml://registries/{registry}/models/{name}/versions/{version}",
            "name": version,
            "properties": {
                "modelType": kind,
                "modelUri": self.storage.url(place),
                "flavors": {},
                "isArchived": False,
            },
        }

    def _versions(self, request: Request) -> Answer:
        registry, name = request.match
        found = self.models.get(registry, {}).get(name, {})
        return Answer({"value": [self._told(registry, name, version) for version in reversed(found)]})

    def _model(self, request: Request) -> Answer:
        return Answer(self._told(*request.match))

    def _reference(self, request: Request) -> Answer:
        place = self.find(*request.match)
        url = self.storage.url(Place(place.account, place.container))
        credential = {"credentialType": "SAS", "sasUri": f"{url}?{self.storage.sas(place)}"}
        return Answer({"blobReferenceForConsumption": {"blobUri": url, "credential": credential}})
