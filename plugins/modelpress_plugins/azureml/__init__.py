"""Azure Machine Learning: resources that lie there.

Datastores, models of a workspace or a registry, outputs of jobs; and every `azureml://` address, wherever a
workflow takes a file or folder.
"""

from __future__ import annotations

from modelpress.api import ResourceSpec, hookimpl

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
        _resource("azureml_address", "What an `azureml://` address names.", "AddressOptions", ("azureml",)),
    ]
