"""Secrets in a key vault."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from modelpress.api import UserError
from modelpress.registry import Registry
from modelpress.specs import ResourceSpec

if TYPE_CHECKING:
    from azure_emulator import Cloud


@pytest.mark.parametrize("vault", [{}, {"keyvault_name": "press-vault"}])
def test_a_secret_is_read_from_the_workspaces_vault_or_the_one_named(cloud: Cloud, vault: dict) -> None:
    cloud.vault.secrets["press-vault/acme-token"] = "planted-in-the-vault"
    found = Registry.load().find(ResourceSpec, "azure_key_vault")
    options = found.parse({"azureml_client": cloud.client, "secret_name": "acme-token", **vault})
    assert found.call(found.spec.secret, options) == "planted-in-the-vault"


def test_a_secret_that_is_not_there_is_told_with_what_to_do(cloud: Cloud) -> None:
    found = Registry.load().find(ResourceSpec, "azure_key_vault")
    options = found.parse({"azureml_client": cloud.client, "secret_name": "not-there"})
    with pytest.raises(UserError, match="'not-there'") as error:
        found.call(found.spec.secret, options)
    assert "az keyvault secret set --name not-there" in error.value.hint
