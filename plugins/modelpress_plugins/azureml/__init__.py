"""Azure Machine Learning: resources that lie there, and the system AzureML, whose jobs run there.

Datastores, models of a workspace or a registry, outputs of jobs; and every `azureml://` address, wherever a
workflow takes a file or folder.
"""

from __future__ import annotations

from modelpress.api import Rename, ResourceSpec, SystemSpec, hookimpl

MODELPRESS_API = 1

_HERE = "modelpress_plugins.azureml"
_REQUIRES = ("azure-ai-ml>=1.30", "azure-identity>=1.20", "azure-storage-blob>=12.24")


def _resource(name: str, summary: str, options: str, schemes: tuple[str, ...] = ()) -> ResourceSpec:
    return ResourceSpec(
        name=name,
        summary=summary,
        identity=f"{_HERE}.resources:identity",
        fetch=f"{_HERE}.resources:fetch",
        config=f"{_HERE}.config:{options}",
        requires=_REQUIRES,
        extra="azureml",
        resumes=True,
        schemes=schemes,
    )


@hookimpl
def modelpress_resources() -> list[ResourceSpec]:
    return [
        _resource("azureml_datastore", "A file or folder in a datastore of a workspace.", "DatastoreOptions"),
        _resource("azureml_model", "A model that is registered in a workspace.", "ModelOptions"),
        _resource("azureml_registry_model", "A model in a registry.", "RegistryModelOptions"),
        _resource("azureml_job_output", "An output of a job of a workspace.", "JobOutputOptions"),
        ResourceSpec(
            name="azure_key_vault",
            summary="A secret in a key vault, instead of the name of a variable that holds one.",
            secret=f"{_HERE}.vault:secret",
            config=f"{_HERE}.config:VaultOptions",
            requires=(*_REQUIRES, "azure-keyvault-secrets>=4.9"),
            extra="azureml",
        ),
        _resource("azureml_address", "What an `azureml://` address names.", "AddressOptions", ("azureml",)),
    ]


@hookimpl
def modelpress_systems() -> list[SystemSpec]:
    return [
        SystemSpec(
            name="AzureML",
            summary="A compute target of an Azure Machine Learning workspace, Kubernetes by Arc too.",
            open=f"{_HERE}.system:open_azureml",
            config=f"{_HERE}.system_config:AzureMLOptions",
            requires=_REQUIRES,
            extra="azureml",
            renames=(
                Rename("is_dev", None, why="what is installed here is what runs there"),
                Rename("olive_managed_env", None, why="what the passes need is added to conda_file_path"),
            ),
        )
    ]
