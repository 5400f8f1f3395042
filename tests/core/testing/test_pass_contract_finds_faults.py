"""Faults planted in small passes, one in each: the contract of a pass finds each, and passes a good one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

HERE = Path(__file__).parent
FOUND_BY = {
    "UntruePlan": {"test_its_plan_is_true"},
    "UndeclaredLibrary": {"test_it_requires_the_libraries_that_it_imports"},
    "HashSeed": {"test_the_same_input_gives_the_same_bytes_elsewhere"},
    "PathInside": {"test_the_same_input_gives_the_same_bytes_elsewhere"},
    "OddMeta": {"test_its_meta_can_be_written"},
    "StrayFile": {"test_it_writes_to_its_own_folders_only"},
    "BrokenCheckpoint": {"test_it_goes_on_after_a_kill"},
    "HeavyPlan": {"test_its_plan_is_light"},
    "Environment": {"test_it_reads_no_environment_variable"},
    "OtherFormat": {"test_it_opens_only_formats_that_it_takes_or_gives"},
    "FieldsSet": {"test_its_options_reach_the_worker_as_they_were_written"},
}


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Pass -> test that failed -> what it said, of one run of the authors' own suite."""
    site = tmp_path_factory.mktemp("site")
    for name in ("", "_run", "_plan", "_options"):
        text = (HERE / f"faults{name}.py.txt").read_text(encoding="utf-8")
        (site / f"faulty_plugin{name}.py").write_text(text, encoding="utf-8")
    info = site / "faulty_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[modelpress]\nfaulty = faulty_plugin\n")
    (info / "RECORD").write_text(
        "".join(f"faulty_plugin{n}.py,,\n" for n in ("", "_run", "_plan", "_options"))
    )
    suite = tmp_path_factory.mktemp("suite") / "test_faulty.py"
    suite.write_text((HERE / "faults_contract.py.txt").read_text(encoding="utf-8"), encoding="utf-8")
    report = suite.with_name("report.xml")
    path = os.pathsep.join([str(site), *(p for p in sys.path if p)])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    command += [
        "-k",
        "not loads and not bad_options and not described and not round_trip",
    ]  # what the faults have nothing to do with
    done = subprocess.run(
        [*command, str(suite)], cwd=suite.parent, env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert report.exists(), done.stdout + done.stderr
    found: dict[str, dict[str, str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.get("classname", "").rpartition("Test")[2]
        told = [child.text or "" for child in case if child.tag in ("failure", "error")]
        found.setdefault(name, {}).update({case.get("name", ""): text for text in told})
    return found


def test_a_good_pass_stands_its_contract(failed: dict[str, dict[str, str]]) -> None:
    assert failed["Good"] == {}


@pytest.mark.parametrize("fault", FOUND_BY)
def test_a_planted_fault_is_found(failed: dict[str, dict[str, str]], fault: str) -> None:
    """By the test that is meant to, and no test fails that has nothing to do with it."""
    assert FOUND_BY[fault] <= set(failed[fault])
    also = {"test_the_same_input_gives_the_same_bytes_elsewhere"} if fault == "Environment" else set()
    assert set(failed[fault]) <= FOUND_BY[fault] | also


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("UntruePlan", "bytes, and"),
        ("UndeclaredLibrary", "iniconfig (iniconfig)"),
        ("PathInside", "holds a path of this machine"),
        ("OddMeta", "not JSON serializable"),
        ("StrayFile", "notes.txt"),
        ("HeavyPlan", "numpy"),
        ("Environment", "ACME_SIGNATURE"),
        ("OtherFormat", "letters"),
        ("FieldsSet", "upper"),
    ],
)
def test_the_contract_says_what_it_found(failed: dict[str, dict[str, str]], fault: str, words: str) -> None:
    assert any(words in text for text in failed[fault].values()), failed[fault]
