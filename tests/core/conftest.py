"""Fake plugins, installed as a package manager would: a package and its dist-info folder on sys.path."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from textwrap import dedent

import pytest

from modelpress.registry import Registry

_SPECS = ("Command", "DataContainer", "Format", "Metric", "Model", "Pass", "Resource", "Sampler", "System")
_NAMES = ", ".join(["Rename", "hookimpl", *(f"{kind}Spec" for kind in _SPECS)])


class FakeSite:
    """A site-packages folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(
        self,
        plugin: str,
        code: str,
        *,
        distribution: str = "",
        version: str = "1.0",
        package: str = "",
        files: dict[str, str] | None = None,
        api: str = "MODELPRESS_API = 1",
        editable: bool = False,
    ) -> None:
        """Install a distribution with one plugin, whose module is `code` after the usual imports."""
        distribution = distribution or f"fake-{plugin}"
        package = package or f"fake_{plugin}_{distribution.replace('-', '_')}"
        top = self.folder / package
        top.mkdir(parents=True, exist_ok=True)
        header = f"from modelpress.api import {_NAMES}\n{api}\n"
        (top / "__init__.py").write_text(header + dedent(code).replace("PACKAGE", package), encoding="utf-8")
        for name, text in (files or {}).items():
            (top / name).write_text(dedent(text).replace("PACKAGE", package), encoding="utf-8")
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n\nName: not this\n",
            encoding="utf-8",
        )
        (info / "entry_points.txt").write_text(f"[modelpress]\n{plugin} = {package}\n", encoding="utf-8")
        if editable:
            (info / "direct_url.json").write_text('{"url": "file:///x", "dir_info": {"editable": true}}')

    def points(self) -> list[EntryPoint]:
        found = distributions(path=[str(self.folder)])
        return [p for d in found for p in d.entry_points if p.group == "modelpress"]

    def registry(self) -> Registry:
        """What is installed here and nothing else."""
        return Registry.load(self.points())


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSite]:
    folder = tmp_path / "site"
    folder.mkdir()
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delenv("MODELPRESS_BLOCK_PLUGINS", raising=False)
    yield FakeSite(folder)
    for name in set(sys.modules) - before:
        if name.startswith("fake_"):
            del sys.modules[name]
