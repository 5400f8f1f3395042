"""`plugins new`: what it writes for each of the eleven kinds passes its contract and its check at once."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from modelpress.errors import UserError
from modelpress.plugin_check import check
from modelpress.scaffold import KINDS, write_plugin

NAMES = {kind: f"Acme{kind.capitalize()}" for kind in KINDS} | {"command": "acme-look", "metric": "acme_size"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Kind -> the folder of a new plugin of that kind."""
    home = tmp_path_factory.mktemp("written")
    return {kind: write_plugin(kind, name, home / kind)[0] for kind, name in NAMES.items()}


def test_there_is_a_template_for_each_kind_of_spec() -> None:
    assert len(KINDS) == 11


def test_what_is_written_passes_its_contract(
    written: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """All eleven at once, each found through its own entry point."""
    site = tmp_path_factory.mktemp("site")
    for folder in written.values():
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        info = site / f"{project['name'].replace('-', '_')}-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1.0\n")
        lines = [f"{name} = {module}" for name, module in project["entry-points"]["modelpress"].items()]
        (info / "entry_points.txt").write_text("\n".join(["[modelpress]", *lines]) + "\n")
    path = [str(site), *(str(folder / "src") for folder in written.values()), *filter(None, sys.path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib",
         *map(str, written.values())],
        cwd=site, env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "CI": ""},
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
    assert list(written["pass"].glob("tests/golden/*.json"))


@pytest.mark.parametrize("kind", ["pass", "command", "sampler"])
def test_what_is_written_passes_its_check(written: dict[str, Path], kind: str) -> None:
    """From its folder, without being installed."""
    found = check(str(written[kind]))
    assert [finding for finding in found if finding.verdict != "ok"] == []
    assert len(found) > 1


def test_it_has_tests_and_ci(written: dict[str, Path]) -> None:
    for folder in written.values():
        assert list(folder.glob("tests/test_*.py"))
        assert (folder / ".github" / "workflows" / "test.yml").is_file()
        written_text = [p for p in folder.rglob("*") if p.is_file() and p.suffix not in (".yml", ".pyc")]
        assert not [p for p in written_text if "{{" in p.read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", ["9lives", "", "a/b", "é"])
def test_a_name_that_can_be_nobodys_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be the name"):
        write_plugin("pass", name, tmp_path / "new")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UserError, match="there already"):
        write_plugin("pass", "AcmePrune", tmp_path)


def test_contributing_names_a_page_for_every_kind() -> None:
    root = Path(__file__).resolve().parents[2]
    text = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for kind in KINDS:
        assert f"](docs/plugins/{kind}.md)" in text
        assert (root / "docs" / "plugins" / f"{kind}.md").is_file()
