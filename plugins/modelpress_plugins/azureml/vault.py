"""Key vaults: where they are, and the secrets in them."""

from __future__ import annotations

from azure.keyvault.secrets import SecretClient

from modelpress_plugins.azureml.client import asking, connect, credential_of, vault_url, workspace_of
from modelpress_plugins.azureml.config import ClientOptions, VaultOptions


def secret(options: VaultOptions) -> str:
    """The secret that the options name."""
    client = options.azureml_client
    url = vault_url(client, options.keyvault_name) if options.keyvault_name else vault_of(client)
    what = f"the secret {options.secret_name!r} of the key vault {url}"
    with asking(what, hint=f"Put it there: az keyvault secret set --name {options.secret_name} …"):
        vault = SecretClient(url, credential_of(client), retry_total=client.max_operation_retries)
        return vault.get_secret(options.secret_name).value or ""


def vault_of(client: ClientOptions) -> str:
    """The address of the vault that the options name; else of the workspace's own."""
    name = client.keyvault_name
    if name is None:
        place = workspace_of(client)
        with asking(f"the key vault of {place}"):
            name = str(connect(client).workspaces.get(place.name).key_vault).rpartition("/")[2]
    return vault_url(client, name)
