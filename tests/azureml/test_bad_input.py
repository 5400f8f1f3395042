"""What cannot be on AzureML: told within seconds, before anything is uploaded, with nothing left there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

import modelpress
from modelpress.errors import ModelpressError

if TYPE_CHECKING:
    from azure_emulator import Cloud
    from azure_emulator.web import Request
    from azure_runs import Vendor


def planned(vendor: Vendor) -> str:
    """What a plan says of a workflow that cannot be done."""
    with pytest.raises(ModelpressError) as error:
        modelpress.plan(vendor.folder / "workflow.json")
    return f"{error.value} {error.value.hint}"


@pytest.fixture(autouse=True)
def nothing_is_left(vendor: Vendor, cloud: Cloud):
    """Of whatever a test here does, nothing is in the cloud."""
    store = cloud.arm.datastores["workspaceblobstore"].place
    before = cloud.storage.names(store)
    yield
    assert cloud.storage.names(store) == before
    assert vendor.submitted == []


GPU = {"aml_compute": "gpu-clustr", "accelerators": [{"device": "gpu"}]}


@pytest.mark.parametrize(
    ("system", "told"),
    [
        (GPU, ["no compute target 'gpu-clustr'", "gpu-cluster"]),
        ({"aml_compute": "Your Compute Name"}, ["placeholder"]),
        (
            {"aml_docker_config": {"base_image": "x", "conda_file_path": "missing.yaml"}},
            ["'missing.yaml' does not exist"],
        ),
        ({"aml_docker_config": {"base_image": "x", "conda_file_path": "bad.yaml"}}, ["no conda environment"]),
        ({"aml_docker_config": {"base_image": "x", "conda_file_path": "old.yaml"}}, ["Python 3.8"]),
        ({"aml_docker_config": {"conda_file_path": "old.yaml"}}, ["base_image or build_context_path"]),
        ({"aml_docker_config": {"build_context_path": "missing"}}, ["'missing' does not exist"]),
        (
            {"aml_docker_config": {"build_context_path": "context", "dockerfile": "Dockerfil"}},
            ["no 'Dockerfil'", "'Dockerfile'"],
        ),
        ({"aml_environment_config": {"name": "e", "version": 1}}, ["one of the two"]),
        (
            {"aml_docker_config": None, "aml_environment_config": {"name": "trian", "version": 3}},
            ["no environment 'trian'"],
        ),
        ({"datastore": "workspaceblobstor"}, ["no datastore 'workspaceblobstor'", "workspaceblobstore"]),
        ({"azureml_client_config": {"subscription_id": "x"}}, ["resource_group, workspace_name missing"]),
    ],
)  # fmt: skip
def test_what_the_system_lacks_is_told_by_the_plan(
    vendor: Vendor, system: dict[str, Any], told: list[str]
) -> None:
    (vendor.folder / "bad.yaml").write_text("dependencies: [")
    (vendor.folder / "old.yaml").write_text("dependencies: [python=3.8.13]")
    (vendor.folder / "context").mkdir()
    (vendor.folder / "context" / "Dockerfile").write_text("FROM python:3.12\n")
    vendor.write("a", options=system)
    text = planned(vendor)
    for part in told:
        assert part in text
    assert "workflow.json:" in text
    assert text.count("does not exist") + text.count("no conda") <= 1  # told once
    assert "there is none" not in text  # what only follows from it is not told beside it


@pytest.mark.parametrize("part", ["subscription_id", "resource_group", "workspace_name"])
def test_a_wrong_workspace_is_told_as_that(vendor: Vendor, cloud: Cloud, part: str) -> None:
    vendor.write("a", azureml_client={**cloud.client, part: "wrong"})
    text = planned(vendor)
    assert "'wrong'" in text
    assert "azureml_client" in text


def test_expired_credentials_are_told_with_what_to_do(
    vendor: Vendor, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud.identity, "expired", True)
    params = {"exclude_cli_credential": True}  # another one than that which has a token already
    vendor.write("a", azureml_client={**cloud.client, "default_auth_params": params})
    text = planned(vendor)
    assert "AADSTS7000222" in text
    assert "az login" in text
    assert cloud.client_secret not in text


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("azureml://datastores/workspaceblobstore/paths/rows/trian.txt", "'train.txt'"),
        ("azureml://datastores/workspaceblobstor/paths/rows/train.txt", "workspaceblobstore"),
        ("azureml://jobs/none/outputs/model", "There is no job 'none'"),
        ("azureml://nonsense", "no address of AzureML"),
    ],
)
def test_a_path_that_matches_nothing_is_told_by_the_plan(
    vendor: Vendor, cloud: Cloud, address: str, told: str
) -> None:
    cloud.put("workspaceblobstore", "rows/train.txt", b"rows")
    vendor.write(passes={"a": {"type": "Stamp", "file": address}})
    assert told in planned(vendor)
    cloud.storage.remove(cloud.arm.datastores["workspaceblobstore"].place.under("rows"))


def test_a_cloud_that_cannot_be_reached_is_told_within_seconds(vendor: Vendor, cloud: Cloud) -> None:
    vendor.write("a")
    cloud.proxy.cut_off()
    begun = time.monotonic()
    text = planned(vendor)
    cloud.proxy.cut = False
    assert time.monotonic() - begun < 30
    assert "cannot be reached" in text
    assert "HTTPS_PROXY" in text


@pytest.mark.parametrize(
    ("status", "tries", "told"),
    [
        (401, 1, "sign in"),
        (403, 1, "needs a role"),
        (404, 1, "no compute target"),
        (429, 4, "Try again later"),
        (503, 4, "Try again later"),
    ],
)
def test_what_passes_is_tried_again_and_what_does_not_is_not(
    vendor: Vendor, cloud: Cloud, status: int, tries: int, told: str
) -> None:
    from azure_emulator.web import Refused

    asked: list[str] = []

    def refuse(request: Request) -> None:
        if request.path.endswith(f"/computes/{cloud.compute}"):
            asked.append(request.path)
            raise Refused(status, "Refused", f"The compute is refused with {status}.")

    client = {**cloud.client, "operation_retry_interval": 0, "read_timeout": 60 + status}
    vendor.write("a", azureml_client=client)
    cloud.web.faults.append(refuse)
    assert told in planned(vendor)
    assert len(asked) == tries


def test_what_is_busy_for_a_moment_is_asked_again(vendor: Vendor, cloud: Cloud) -> None:
    from azure_emulator.web import Refused

    asked: list[str] = []

    def busy(request: Request) -> None:
        if "/computes/" in request.path:
            asked.append(request.path)
            if len(asked) == 1:
                raise Refused(429, "TooManyRequests", "Too many requests.", {"Retry-After": "1"})

    vendor.write("a", azureml_client={**cloud.client, "read_timeout": 61})
    cloud.web.faults.append(busy)
    assert modelpress.plan(vendor.folder / "workflow.json").steps
    assert len(asked) >= 2
