"""Runs the suite that a plugin's author would write, on a plugin that is installed for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

HERE = Path(__file__).parent
Failures = dict[str, dict[str, str]]
"""Class, without `Test` -> test that failed -> what it said. Every class that was run is there."""
RunSuite = Callable[[str, Sequence[str], str], Failures]


@pytest.fixture(scope="session")
def run_suite(tmp_path_factory: pytest.TempPathFactory) -> RunSuite:
    """`run_suite("acme", ("", "_code"), "not round_trip")` installs a plugin of the files acme.py.txt and
    acme_code.py.txt, and runs those tests of acme_contract.py.txt that pytest chooses with -k."""

    def run(plugin: str, parts: Sequence[str], chosen: str) -> Failures:
        return run_contracts(tmp_path_factory.mktemp(plugin), plugin, parts, chosen)

    return run


def run_contracts(folder: Path, plugin: str, parts: Sequence[str], chosen: str) -> Failures:
    site = folder / "site"
    info = site / f"{plugin}-1.0.dist-info"
    info.mkdir(parents=True)
    for part in parts:
        text = (HERE / f"{plugin}{part}.py.txt").read_text(encoding="utf-8")
        (site / f"{plugin}{part}.py").write_text(text, encoding="utf-8")
    name = plugin.replace("_", "-")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[modelpress]\n{plugin} = {plugin}\n")
    (info / "RECORD").write_text("".join(f"{plugin}{part}.py,,\n" for part in parts))
    suite, report = folder / "test_suite.py", folder / "report.xml"
    suite.write_text((HERE / f"{plugin}_contract.py.txt").read_text(encoding="utf-8"), encoding="utf-8")
    path = os.pathsep.join([str(site), *(p for p in sys.path if p)])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    command += ["-k", chosen]
    done = subprocess.run(
        [*command, str(suite)], cwd=folder, env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert report.exists(), done.stdout + done.stderr
    found: Failures = {}
    for case in ElementTree.parse(report).iter("testcase"):
        of = found.setdefault(case.get("classname", "").rpartition("Test")[2], {})
        told = [child.text or "" for child in case if child.tag in ("failure", "error")]
        of.update({case.get("name", ""): text for text in told})
    return found
