"""What doctor tells of the hub, and what keeps the hub's libraries off the network."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelpress.registry import Registry
from modelpress.testing import LibraryContract
from modelpress_plugins.huggingface.hub_check import check


class TestHuggingfaceHub(LibraryContract):
    library_name = "huggingface-hub"
    secrets = {"HF_TOKEN": "hf_secret"}  # noqa: RUF012


def test_the_hub_is_told_without_its_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hub" / "models--org--name").mkdir(parents=True)
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    where, offline = check()
    assert "1 models; a token is set" in where.text
    assert "hf_secret" not in where.text
    assert "HF_HUB_OFFLINE" in offline.text
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert len(check()) == 1


def test_a_run_that_is_offline_tells_it_to_the_libraries() -> None:
    assert Registry.load().offline_variables["HF_HUB_OFFLINE"] == "1"
