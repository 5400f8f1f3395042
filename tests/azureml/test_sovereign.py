"""A cloud that the SDK does not know, by names that resolve nowhere: nothing but it can be reached."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelpress.registry import Registry
from modelpress.specs import ResourceSpec

if TYPE_CHECKING:
    from azure_emulator import Cloud


@pytest.fixture
def sovereign(session_cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    from azure_emulator import Cloud
    from azure_emulator.cloud import SOVEREIGN

    cloud = Cloud(tmp_path, SOVEREIGN)
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AZURE_AUTHORITY_HOST")
    # The SDK keeps the cloud of its last client for the whole process.
    monkeypatch.setenv("AZUREML_CURRENT_CLOUD", "AzureCloud")
    try:
        yield cloud.start()
    finally:
        cloud.close()


def test_a_cloud_of_other_names_is_found_by_its_metadata(sovereign: Cloud, tmp_path: Path) -> None:
    from azure_emulator.cloud import SOVEREIGN

    sovereign.put("by_identity", "rows.json", b"[1]")
    client = {
        **sovereign.client,
        "cloud": "EmuCloud",
        "cloud_metadata": {
            "azure_portal": "https://portal.emu.test",
            "resource_manager": f"https://{SOVEREIGN['management']}",
            "active_directory": f"https://{SOVEREIGN['login']}",
            "aml_resource_id": "https://ml.emu.test",
            "storage_endpoint": SOVEREIGN["storage"],
            "registry_discovery_endpoint": f"https://{SOVEREIGN['registry']}/",
        },
    }
    found = Registry.load().find(ResourceSpec, "azureml_datastore")
    options = found.parse(
        {"azureml_client": client, "datastore_name": "by_identity", "relative_path": "rows.json"}
    )
    folder = tmp_path / "content"
    folder.mkdir()
    assert found.call(found.spec.fetch, options, folder).read_bytes() == b"[1]"
    assert sovereign.proxy.refused == []
    assert {host.partition(".")[2] for host in sovereign.proxy.asked} <= {"emu.test", "blob.core.emu.test"}
