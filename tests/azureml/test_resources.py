"""Resources on AzureML: the real SDK, a real Azurite, a loopback workspace and registry."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from modelpress.api import HostError, UserError
from modelpress.registry import Registry
from modelpress.specs import ResourceSpec
from modelpress.testing import ResourceContract

if TYPE_CHECKING:
    from azure_emulator import Cloud

Fetch = Callable[[str, Mapping[str, object]], Path]


@pytest.fixture
def identity(cloud: Cloud) -> Callable[[str, Mapping[str, object]], str]:
    def ask(kind: str, values: Mapping[str, object]) -> str:
        found = Registry.load().find(ResourceSpec, kind)
        return found.call(found.spec.identity, found.parse({"azureml_client": cloud.client, **values}))

    return ask


@pytest.fixture
def fetch(cloud: Cloud, tmp_path: Path) -> Fetch:
    def bring(kind: str, values: Mapping[str, object]) -> Path:
        found = Registry.load().find(ResourceSpec, kind)
        folder = tmp_path / "content"
        folder.mkdir(exist_ok=True)
        return found.call(found.spec.fetch, found.parse({"azureml_client": cloud.client, **values}), folder)

    return bring


@pytest.mark.parametrize("datastore", ["workspaceblobstore", "with_sas", "by_identity"])
def test_a_datastore_is_read_by_key_by_sas_and_by_identity(
    cloud: Cloud, fetch: Fetch, datastore: str
) -> None:
    cloud.put(datastore, "rows/train.json", b"[1]")
    path = fetch("azureml_datastore", {"datastore_name": datastore, "relative_path": "rows/train.json"})
    assert (path.name, path.read_bytes()) == ("train.json", b"[1]")


def test_a_folder_comes_whole_and_its_neighbours_stay(cloud: Cloud, fetch: Fetch) -> None:
    cloud.put("workspaceblobstore", "set", {"a.json": b"1", "deep/ä b.json": b"22"})
    cloud.put("workspaceblobstore", "set2", {"c.json": b"3"})
    path = fetch("azureml_datastore", {"relative_path": "set/"})
    files = {
        file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()
    }
    assert files == {"a.json": b"1", "deep/ä b.json": b"22"}


def test_it_is_known_by_etag_without_being_fetched(cloud: Cloud, identity: Callable[..., str]) -> None:
    cloud.put("workspaceblobstore", "known/rows.json", b"[1]")
    before = identity("azureml_datastore", {"relative_path": "known"})
    asked = [request for request in cloud.web.requests if request.method == "GET"]
    assert before == identity("azureml_datastore", {"relative_path": "known"})
    cloud.put("workspaceblobstore", "known/rows.json", b"[2]")
    assert before != identity("azureml_datastore", {"relative_path": "known"})
    assert asked


def test_what_was_cut_off_is_gone_on_with(
    cloud: Cloud, fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelpress_plugins.azureml import blobs

    content = bytes(range(256)) * 1000
    cloud.put("workspaceblobstore", "big/weights", content)
    real = blobs.Blobs._chunks
    asked: list[int] = []

    def cut(self: Any, blob: Any, offset: int) -> Iterator[bytes]:
        asked.append(offset)
        whole = b"".join(real(self, blob, offset))
        yield whole[:100_000]
        if len(asked) == 1:
            raise HostError("the network is gone")
        yield whole[100_000:]

    monkeypatch.setattr(blobs.Blobs, "_chunks", cut)
    with pytest.raises(HostError):
        fetch("azureml_datastore", {"relative_path": "big"})
    path = fetch("azureml_datastore", {"relative_path": "big"})
    assert (path / "weights").read_bytes() == content
    assert asked == [0, 100_000]
    assert [file.name for file in path.rglob("*") if file.is_file()] == ["weights"]


def test_a_model_of_a_registry_is_found_without_its_owner(cloud: Cloud, fetch: Fetch) -> None:
    from azure_emulator.storage import Place

    place = Place("otherstorage", "shared", "models/phi")
    cloud.storage.put(place, {"MLmodel": b"flavors: {}", "data/model/config.json": b"{}"})
    cloud.registries.put(cloud.registry, "Phi-3-mini-4k-instruct", "11", place)
    values = {"registry_name": cloud.registry, "name": "microsoft/Phi-3-mini-4k-instruct", "version": "11"}
    path = fetch("azureml_registry_model", values)
    assert (path / "data" / "model" / "config.json").read_bytes() == b"{}"
    values = {"registry_name": cloud.registry, "name": "microsoft/Phi-3-mini-4k-instruct", "version": "12"}
    with pytest.raises(UserError, match="version '12'"):
        fetch("azureml_registry_model", values)


def test_a_registered_model_and_an_address_are_the_same_bytes(cloud: Cloud, fetch: Fetch) -> None:
    cloud.put("workspaceblobstore", "models/tiny", {"config.json": b"{}"})
    cloud.arm.assets["models/tiny/3"] = {
        "modelUri": "azureml://datastores/workspaceblobstore/paths/models/tiny",
        "modelType": "custom_model",
        "flavors": {},
    }
    path = fetch("azureml_model", {"name": "tiny", "version": 3})
    assert (path / "config.json").read_bytes() == b"{}"
    long = (
        f"azureml://subscriptions/{cloud.subscription}/resourcegroups/{cloud.group}/workspaces/"
        f"{cloud.workspace}/datastores/workspaceblobstore/paths/models/tiny"
    )
    assert fetch("azureml_address", {"address": long, "azureml_client": {}}) == path


@pytest.mark.parametrize(
    ("values", "told", "hint"),
    [
        ({"relative_path": "rows/trian.json"}, "nothing lies at 'rows/trian.json'", "'train.json'"),
        ({"datastore_name": "workspaceblobstor", "relative_path": "x"}, "no datastore", "workspaceblobstore"),
        ({"relative_path": "x", "azureml_client": {"subscription_id": "s"}}, "resource_group", "top"),
    ],
)
def test_what_is_not_there_is_told_with_the_nearest_name(
    cloud: Cloud, fetch: Fetch, values: dict[str, object], told: str, hint: str
) -> None:
    cloud.put("workspaceblobstore", "rows/train.json", b"[1]")
    with pytest.raises(UserError, match=told) as error:
        fetch("azureml_datastore", values)
    assert hint in error.value.hint


@pytest.mark.parametrize("part", ["subscription_id", "resource_group", "workspace_name"])
def test_a_wrong_workspace_is_told_as_that(cloud: Cloud, fetch: Fetch, part: str) -> None:
    values = {"relative_path": "x", "azureml_client": {**cloud.client, part: "wrong"}}
    with pytest.raises(UserError, match="'wrong'") as error:
        fetch("azureml_datastore", values)
    assert "azureml_client" in error.value.hint


def test_expired_credentials_are_told_with_what_to_do(
    cloud: Cloud, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud.identity, "expired", True)
    values = {"relative_path": "x", "azureml_client": {**cloud.client, "read_timeout": 7}}  # a new client
    params = {"default_auth_params": {"exclude_cli_credential": True}}
    with pytest.raises(HostError, match="AADSTS7000222") as error:
        fetch("azureml_datastore", {**values, "azureml_client": {**cloud.client, **params}})
    assert "az login" in error.value.hint
    assert cloud.client_secret not in f"{error.value}{error.value.hint}"


def test_a_placeholder_of_the_tutorial_is_refused() -> None:
    found = Registry.load().find(ResourceSpec, "azureml_datastore")
    with pytest.raises(ValueError, match="placeholder"):
        found.parse({"relative_path": "Your train_data.json Azure ML Location"})


class TestAzuremlDatastore(ResourceContract):
    """The contract of resources, on a datastore."""

    resource_name = "azureml_datastore"

    @pytest.fixture(autouse=True)
    def _in_the_cloud(self, cloud: Cloud) -> None:
        type(self).cloud = cloud

    def make_options(self, folder: Path) -> Mapping[str, Any]:
        path = f"contract/{folder.parent.name}"
        self.cloud.put("workspaceblobstore", path, {"rows.json": b"[1]"})
        return {"azureml_client": self.cloud.client, "relative_path": path}

    def change(self, folder: Path) -> None:
        self.cloud.put("workspaceblobstore", f"contract/{folder.parent.name}", {"rows.json": b"[2]"})


def test_data_and_model_from_azure_are_pressed_here_to_the_end(
    cloud: Cloud, tmp_path: Path, emotions_model: Path, emotions_data: Path
) -> None:
    from azure_emulator.storage import Place

    import modelpress

    place = Place("otherstorage", "shared", "models/emotions")
    cloud.storage.put(place, emotions_model)
    cloud.registries.put(cloud.registry, "emotions", "1", place)
    cloud.put("workspaceblobstore", "train/emotions.json", emotions_data)
    arguments = {"max_steps": 2, "per_device_train_batch_size": 2, "logging_steps": 1}
    document = {
        "azureml_client": cloud.client,
        "input_model": {
            "type": "HfModel",
            "model_path": {"type": "azureml_registry_model", "registry_name": cloud.registry,
                           "name": "emotions", "version": "1"},
        },
        "data_configs": [{
            "name": "train", "type": "HuggingfaceContainer",
            "load_dataset_config": {
                "data_files": "azureml://datastores/workspaceblobstore/paths/train/emotions.json"
            },
            "pre_process_data_config": {"text_template": "{phrase} {tone}", "max_samples": 8},
        }],
        "passes": {
            "lora": {"type": "LoRA", "r": 4, "train_data_config": "train", "training_args": arguments},
            "merge": {"type": "MergeAdapterWeights"},
        },
        "cache_dir": "cache", "output_dir": "output",
    }  # fmt: skip
    file = tmp_path / "workflow.json"
    file.write_text(json.dumps(document))
    result = modelpress.run(file)
    assert (result.artifact.path / "model.safetensors").is_file()
