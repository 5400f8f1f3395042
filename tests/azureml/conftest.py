"""Azure on loopback, once a session; what a client's environment has to say to find it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the emulator is a package of the tests' own

if TYPE_CHECKING:
    from azure_emulator import Cloud
    from azure_runs import Vendor

_LIBRARIES = ("azure.ai.ml", "azure.identity", "azure.storage.blob", "azure.keyvault.secrets", "cryptography")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The SDK warns of itself, some hundred times a test."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.filterwarnings("ignore::Warning:marshmallow"))
            item.add_marker(pytest.mark.filterwarnings("ignore::Warning:azure"))


@pytest.fixture(scope="session")
def session_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Started once. Skipped with its reason where the machine lacks what it takes."""
    for name in _LIBRARIES:
        if importlib.util.find_spec(name.split(".")[0]) is None:
            pytest.skip(f"{name} is not installed (extra azureml)")
    emulator = importlib.import_module("azure_emulator")
    if reason := emulator.why_not():
        pytest.skip(reason)
    cloud = emulator.Cloud(tmp_path_factory.mktemp("azure"))
    try:
        yield cloud.start()
    finally:
        cloud.close()


@pytest.fixture
def cloud(session_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """The cloud, found by this process and those that it starts. Nothing but it may have been contacted."""
    for name, value in session_cloud.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AZUREML_RUN_POLLING_INTERVAL_MIN", "0.2")
    monkeypatch.setenv("AZUREML_RUN_POLLING_INTERVAL_MAX", "0.4")
    refused = len(session_cloud.proxy.refused)
    yield session_cloud
    session_cloud.web.faults.clear()
    session_cloud.proxy.cut = False
    assert session_cloud.proxy.refused[refused:] == [], "somebody else was contacted"


@pytest.fixture
def vendor(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    """A vendor's plugin, installed for this process and the runs that it starts; a model of two words."""
    from azure_runs import Vendor

    site = tmp_path / "site"
    info = site / "vendor-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vendor\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[modelpress]\nvendor = vendor\n")
    (info / "RECORD").write_text("vendor.py,,\n")
    (site / "vendor.py").write_text((Path(__file__).parent / "vendor.py.txt").read_text())
    folder = tmp_path / "work"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "text.txt").write_text("one two")
    monkeypatch.syspath_prepend(str(site))
    cloud.executor.before = lambda run, node: None
    yield Vendor(cloud, folder, site)
    sys.modules.pop("vendor", None)
