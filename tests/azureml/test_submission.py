"""What a submission says on the wire, of each way in which a system may be described."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from modelpress.errors import ModelpressError, WorkerDied

if TYPE_CHECKING:
    from azure_emulator import Cloud
    from azure_emulator.executor import JobRun
    from azure_runs import Vendor


def submitted(vendor: Vendor, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, **options: Any) -> JobRun:
    """The job of a run that Azure refuses when it has seen it: it cannot pull the image."""
    from azure_emulator.web import Refused

    def refuse(run: JobRun) -> None:
        raise Refused(400, "UserError", "Image pull failed: manifest for python:3.12 not found")

    monkeypatch.setattr(cloud.executor, "_provision", refuse)
    vendor.write("a", options=options)
    with pytest.raises(WorkerDied, match=r"Image pull failed: manifest for python:3\.12 not found") as error:
        vendor.run()
    assert isinstance(error.value, ModelpressError)
    (run,) = vendor.submitted
    return run


def environment_of(run: JobRun, cloud: Cloud) -> dict[str, Any]:
    kind, name, _, version = run.properties["environmentId"].split("/")[-4:]
    return cloud.arm.assets[f"{kind}/{name}/{version}"]


def test_a_build_context_goes_there_with_its_dockerfile(
    vendor: Vendor, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = vendor.folder / "context"
    context.mkdir()
    (context / "Of.this").write_text("FROM python:3.12\n")
    docker = {"build_context_path": "context", "dockerfile": "Of.this"}
    run = submitted(vendor, cloud, monkeypatch, aml_docker_config=docker)
    build = environment_of(run, cloud)["build"]
    assert build["dockerfilePath"] == "Of.this"
    place = cloud.arm.asset_place(build["contextUri"])
    assert cloud.storage.read(place.under("Of.this")) == b"FROM python:3.12\n"


def test_an_environment_by_name_resources_tags_and_the_systems_own_client(
    vendor: Vendor, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cloud.arm.assets, "environments/press/3", {"image": "python:3.12"})
    run = submitted(
        vendor, cloud, monkeypatch,
        azureml_client_config={**cloud.client, "default_auth_params": {"exclude_cli_credential": True}},
        aml_compute="arc-cluster", aml_docker_config=None,
        aml_environment_config={"name": "press", "version": 3},
        resources={"instance_type": "gpu4", "shm_size": "4g", "docker_args": "--init"},
        instance_count=2, tags={"team": "press"}, input_mode="download",
    )  # fmt: skip
    told = run.properties
    assert told["environmentId"].endswith("/environments/press/versions/3")
    assert told["computeId"].endswith("/computes/arc-cluster")
    resources = {"instanceCount": 2, "instanceType": "gpu4", "shmSize": "4g", "dockerArgs": "--init"}
    assert told["resources"].items() >= resources.items()
    assert told["tags"]["team"] == "press"
    modes = {name: given.get("mode") for name, given in told["inputs"].items()}
    assert modes.pop("job") == "ReadOnlyMount"
    assert set(modes.values()) == {"Download"}


def test_a_conda_file_is_completed_and_what_changed_is_told(
    vendor: Vendor, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    (vendor.folder / "conda.yaml").write_text("dependencies: [python=3.12, {pip: [einops]}]\n")
    docker = {"base_image": "python:3.12", "conda_file_path": "conda.yaml"}
    run = submitted(vendor, cloud, monkeypatch, aml_docker_config=docker)
    environment = environment_of(run, cloud)
    assert "einops" in environment["condaFile"]
    assert "pydantic" in environment["condaFile"]
