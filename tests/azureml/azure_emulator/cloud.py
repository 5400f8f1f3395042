"""The whole of it: hosts, servers, storage, workspace, registry, vault, jobs."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from azure_emulator.arm import Arm, Datastore, Workspace
from azure_emulator.certificates import make_certificates
from azure_emulator.executor import Executor
from azure_emulator.identity import TENANT, Identity, Vault
from azure_emulator.jobs import ARTIFACTS, Jobs
from azure_emulator.proxy import Proxy
from azure_emulator.registry import Registries
from azure_emulator.storage import Missing, Place, Storage, find_azurite
from azure_emulator.web import Web, serve

PUBLIC = {
    "management": "management.azure.com",
    "login": "login.microsoftonline.com",
    "storage": "core.windows.net",
    "vault": "vault.azure.net",
    "registry": "eastus.api.azureml.ms",
    "region": "westeurope.api.azureml.ms",
}
"""The names that the SDK asks for where nobody says otherwise."""
SOVEREIGN = {
    "management": "management.emu.test",
    "login": "login.emu.test",
    "storage": "core.emu.test",
    "vault": "vault.emu.test",
    "registry": "registry.emu.test",
    "region": "region.emu.test",
}
_ACCOUNTS = ("wsstorage", "otherstorage")


def why_not() -> str:
    """Why the emulator cannot run on this machine; empty when it can."""
    try:
        find_azurite()
    except Missing as missing:
        return str(missing)
    return ""


class Cloud:
    """Azure for the tests of a session. names: PUBLIC or SOVEREIGN."""

    subscription, group, workspace = "sub-0001", "press-group", "press-space"
    compute, registry, vault_name = "gpu-cluster", "azureml-msr", "press-vault"

    def __init__(self, folder: Path, names: dict[str, str] = PUBLIC) -> None:
        self.folder, self.names = folder, names
        hosts = [f"*.blob.{names['storage']}", f"*.{names['vault']}"]
        plain = [names[key] for key in ("management", "login", "registry", "region")]
        certificates = make_certificates(folder / "tls", [*hosts, *plain])
        self.authority = certificates.authority
        self.storage = Storage(folder, _ACCOUNTS, names["storage"], certificates)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificates.certificate, certificates.key)
        self.web = Web(folder / "requests.jsonl")
        self._server, self._plain = serve(self.web, tls), serve(self.web, None)
        self.proxy = Proxy(self._port_of)
        self.client_secret = "planted-client-secret-5f1c"
        self.identity = Identity(self.web, (names["login"],), self.client_secret)
        self.vault = Vault(self.web, names["login"])
        api = f"https://{names['region']}"
        told = Workspace(self.subscription, self.group, self.workspace, api, self.vault_name)
        self.arm = Arm(self.web, told, self.storage)
        self.registries = Registries(self.web, self.storage, names["region"])
        self.executor = Executor(folder / "nodes", self.arm, self.registries, self._given_to_jobs())
        self.jobs = Jobs(self.arm, self.executor)
        self._furnish()

    def _port_of(self, host: str) -> int | None:
        names = self.names
        if host.endswith(f".blob.{names['storage']}"):
            return self.storage.port
        known = {names[key] for key in ("management", "login", "registry", "region")}
        own = host in known or host.endswith(f".{names['vault']}")
        return int(self._server.server_address[1]) if own else None

    def _furnish(self) -> None:
        blobs, logs = Place("wsstorage", "azureml-blobstore"), Place("wsstorage", "azureml")
        shared = Place("otherstorage", "shared")
        self.arm.datastores |= {
            "workspaceblobstore": Datastore(blobs, default=True),
            ARTIFACTS: Datastore(logs),
            "with_sas": Datastore(shared, "Sas"),
            "by_identity": Datastore(shared, "None"),
        }
        cluster = {
            "computeType": "AmlCompute",
            "provisioningState": "Succeeded",
            "properties": {"vmSize": "Standard_NC24ads_A100_v4", "scaleSettings": {"maxNodeCount": 4}},
        }
        self.arm.computes |= {
            self.compute: cluster,
            "arc-cluster": {
                "computeType": "Kubernetes",
                "resourceId": "/subscriptions/x/providers/Microsoft.Kubernetes/connectedClusters/arc",
                "provisioningState": "Succeeded",
                "properties": {"namespace": "press", "defaultInstanceType": "gpu4"},
            },
        }
        self.registries.models[self.registry] = {}

    @property
    def places(self) -> list[Place]:
        """All that storage has, as places."""
        return list(dict.fromkeys(store.place for store in self.arm.datastores.values()))

    def start(self) -> Cloud:
        """Wait until storage answers, and make the containers."""
        self.storage.wait()
        for store in self.arm.datastores.values():
            self.storage.make(store.place)
        return self

    def close(self) -> None:
        self.executor.close()
        for server in (self._server, self._plain):
            server.shutdown()
            server.server_close()
        self.proxy.close()
        self.storage.close()

    def environment(self) -> dict[str, str]:
        """What a client's environment says, so that it finds this cloud and no other."""
        return {
            "HTTPS_PROXY": self.proxy.url,
            "HTTP_PROXY": self.proxy.url,
            "NO_PROXY": "127.0.0.1",
            "REQUESTS_CA_BUNDLE": str(self.authority),
            "SSL_CERT_FILE": str(self.authority),
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": "55555555-5555-5555-5555-555555555555",
            "AZURE_CLIENT_SECRET": self.client_secret,
            "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
            "AZURE_AUTHORITY_HOST": f"https://{self.names['login']}",
        }

    def _given_to_jobs(self) -> dict[str, str]:
        """Network and managed identity of a node."""
        return {
            "HTTPS_PROXY": self.proxy.url,
            "NO_PROXY": "127.0.0.1",
            "REQUESTS_CA_BUNDLE": str(self.authority),
            "AZURE_AUTHORITY_HOST": f"https://{self.names['login']}",
            "MSI_ENDPOINT": f"http://127.0.0.1:{self._plain.server_address[1]}/MSI/token",
            "MSI_SECRET": self.identity.machine_secret,
            "MODELPRESS_CARRY_SECONDS": "0.3",
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2"),
            "OMP_WAIT_POLICY": "PASSIVE",
        }

    @property
    def client(self) -> dict[str, str]:
        """The `azureml_client` of a workflow."""
        return {
            "subscription_id": self.subscription,
            "resource_group": self.group,
            "workspace_name": self.workspace,
        }

    def put(self, datastore: str, path: str, content: bytes | Path | dict[str, bytes]) -> None:
        """Into a datastore."""
        self.storage.put(self.arm.datastores[datastore].place.under(path), content)
