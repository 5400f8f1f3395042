"""Options of the client and of what lies on Azure Machine Learning; the names are Olive's."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from modelpress.api import JSONValue, LocalPath, Options


def _filled_in(value: str) -> str:
    if not value.strip() or value.startswith("Your "):
        raise ValueError("is still a placeholder: write what it is called in your Azure")
    return value


Filled = Annotated[str, AfterValidator(_filled_in)]
"""A name that the user has to know; a tutorial's placeholder is refused."""


class ClientOptions(Options):
    """How the workspace is reached, and by whom."""

    subscription_id: Filled | None = Field(default=None, description="The id of the Azure subscription.")
    resource_group: Filled | None = Field(default=None, description="The workspace's resource group.")
    workspace_name: Filled | None = Field(default=None, description="The workspace.")
    aml_config_path: Annotated[str | None, LocalPath()] = Field(
        default=None,
        description="Instead of those three: the workspace's config.json, as the Azure portal gives it.",
    )
    keyvault_name: Filled | None = Field(
        default=None, description="The key vault that secrets are read from. Unset: the workspace's own."
    )
    read_timeout: int | None = Field(default=None, gt=0, description="Seconds to wait for an answer.")
    max_operation_retries: int = Field(
        default=3, ge=0, description="How often a request is tried again that failed for a passing reason."
    )
    operation_retry_interval: int = Field(
        default=5, ge=0, description="The longest wait between two tries, in seconds."
    )
    default_auth_params: dict[str, JSONValue] = Field(
        default_factory=dict, description="Arguments of azure-identity's DefaultAzureCredential."
    )
    cloud: str | None = Field(
        default=None,
        description="AzureCloud, AzureChinaCloud, AzureUSGovernment, or a name that cloud_metadata explains.",
    )
    cloud_metadata: dict[str, str] | None = Field(
        default=None,
        description="The endpoints of a cloud that the SDK does not know: azure_portal, resource_manager, "
        "active_directory, aml_resource_id, storage_endpoint, registry_discovery_endpoint.",
    )

    @model_validator(mode="after")
    def _explained(self) -> Self:
        if self.cloud_metadata is not None and self.cloud is None:
            raise ValueError("cloud_metadata explains a cloud: give its name as `cloud`, too")
        return self


class RemoteOptions(Options):
    """What all that lies in a workspace has in common."""

    azureml_client: ClientOptions = Field(
        default_factory=ClientOptions,
        description="The workspace. Unset: that of `azureml_client` at the top of the workflow.",
    )


class DatastoreOptions(RemoteOptions):
    """A file or folder in a datastore."""

    datastore_name: Filled = Field(
        default="workspaceblobstore", description="The datastore; `workspaceblobstore` is every workspace's."
    )
    relative_path: Filled = Field(description="The file's or folder's path in the datastore.")


class ModelOptions(RemoteOptions):
    """A model registered in a workspace. What it holds is found by its files, MLflow folders too."""

    name: Filled = Field(description="The model's name.")
    version: str | int = Field(description="Its version, or `latest`.")


class RegistryModelOptions(ModelOptions):
    """A model in a registry, a company's own or a public one such as `azureml`."""

    name: Filled = Field(description="The model's name. An owner before it (`microsoft/…`) is left out.")
    registry_name: Filled = Field(description="The registry.")


class JobOutputOptions(RemoteOptions):
    """A named output of a job that has ended."""

    job_name: Filled = Field(description="The job's name, as the studio shows it.")
    output_name: Filled = Field(description="The output's name.")
    relative_path: str = Field(default="", description="A file or folder in it. Unset: all of it.")


class VaultOptions(RemoteOptions):
    """A secret in a key vault, for an option that takes the name of a variable with a secret."""

    keyvault_name: Filled | None = Field(
        default=None, description="The vault. Unset: that of azureml_client, else the workspace's own."
    )
    secret_name: Filled = Field(description="What the secret is called there.")


class AddressOptions(RemoteOptions):
    """`azureml://datastores/…/paths/…`, `azureml://registries/…/models/…/versions/…`, `azureml://jobs/…`, or
    the long form of one of them, which names its workspace."""

    address: str = Field(description="The address.", pattern=r"^azureml://.+")
