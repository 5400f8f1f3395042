"""Fake plugins, installed as a package manager would: a package and its dist-info folder on sys.path."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from textwrap import dedent, indent

import pytest

from modelpress.cli import main
from modelpress.registry import Registry

HERE = Path(__file__).parent

_SPECS = (
    "Command",
    "DataContainer",
    "Format",
    "Library",
    "Metric",
    "Model",
    "Pass",
    "Resource",
    "Sampler",
    "System",
)
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


ACME = (HERE / "acme_plugin.py.txt").read_text()
CODE = (HERE / "acme_code.py.txt").read_text()
WORKFLOW = {"input_model": {"type": "AcmeModel"}, "passes": {"prune": {"type": "Prune"}}}


class Acme:
    """The plugin with one function replaced, and a workflow that uses it."""

    def __init__(self, site: FakeSite, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.site, self.folder, self._capsys = site, folder, capsys
        (folder / "model").mkdir()
        (folder / "model" / "weights").write_text("w")

    entry = ACME

    def install(self, planted: str = "", *, entry: str = ACME) -> None:
        """planted: what is put below the plugin's code; entry: instead of its entry module."""
        self.site.install(
            "acme",
            entry,
            distribution="acme-press",
            version="2.3",
            package="fake_acme",
            files={"code.py": CODE + dedent(planted)},
        )

    def plant(self, function: str, code: str) -> None:
        """Install it with one function replaced: `plant("def run(model, config, ctx)", "return None")`."""
        self.install(f"\n{function}:\n{indent(code, '    ')}\n")

    def run(self, *arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main(arguments)
        told = self._capsys.readouterr()
        return int(end.value.code or 0), told.out, told.err

    def workflow(self, **parts: object) -> str:
        file = self.folder / "workflow.json"
        file.write_text(json.dumps({**WORKFLOW, "cache_dir": str(self.folder / "cache"), **parts}))
        return str(file)

    def assert_told(self, result: tuple[int, str, str], what: str, code: int = 4) -> None:
        """The failure names the plugin; the plugin is still listed, and the check-up still works."""
        exit_code, _, err = result
        assert "This is a bug" not in err
        assert "acme" in err
        assert "acme-press 2.3" in err
        assert what in err
        assert exit_code == code, err
        assert "acme" in self.run("plugins", "list")[1]
        doctor = self.run("doctor", "--json")
        assert doctor[0] in (0, 1)
        assert json.loads(doctor[1])


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


@pytest.fixture
def acme(site: FakeSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Acme]:
    yield Acme(site, tmp_path, capsys)
    for name in [name for name in sys.modules if name.startswith("fake_acme")]:
        del sys.modules[name]
