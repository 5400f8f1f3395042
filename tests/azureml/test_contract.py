"""The contract of every system, on AzureML."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import JsonValue

from modelpress.testing import SystemContract

if TYPE_CHECKING:
    from azure_emulator import Cloud


class FromEnvironment(dict[str, str]):
    """A key vault that holds what this machine's variables do: `ACME_TOKEN` as `acme-token`."""

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        return os.environ.get(name.partition("/")[2].upper().replace("-", "_"), default)


class TestAzureML(SystemContract):
    system_name = "AzureML"
    pause = 0.4  # polled, and carried to storage by a node that looks now and then
    large = int(os.environ.get("MODELPRESS_TEST_LARGE", 2**26))  # Azurite keeps it in memory, twice

    @pytest.fixture(autouse=True)
    def in_the_cloud(self, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cloud, self.everything = cloud, tmp_path.with_name(f"{tmp_path.name}-cloud")
        cloud.executor.before = lambda run, node: None
        monkeypatch.setattr(cloud.vault, "secrets", FromEnvironment())

    def some_options(self, folder: Path) -> Mapping[str, JsonValue]:
        return {
            "azureml_client_config": dict(self.cloud.client),
            "aml_compute": self.cloud.compute,
            "aml_docker_config": {"base_image": "python:3.12"},
            "max_jobs": 4,
        }

    def left_behind(self) -> Iterable[Path]:
        for place in self.cloud.places:
            self.cloud.storage.get(place, self.everything / place.account / place.container)
        return [self.everything]
