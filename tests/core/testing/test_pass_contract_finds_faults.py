"""Faults planted in small passes, one in each: the contract of a pass finds each, and passes a good one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Failures, RunSuite

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
    "FileAge": {"test_the_same_input_gives_the_same_bytes_elsewhere"},
    "LocalTime": {"test_the_same_input_gives_the_same_bytes_elsewhere"},
    "ChangesInput": {"test_its_input_stays_as_it_is"},
    "HomeFile": {"test_it_writes_to_its_own_folders_only"},
    "Chance": {"test_the_same_input_gives_the_same_bytes_elsewhere"},
}

ALSO_FOUND_BY = {
    "Environment": {"test_the_same_input_gives_the_same_bytes_elsewhere"},
    "ChangesInput": {"test_it_writes_to_its_own_folders_only"},
    "Chance": {"test_it_goes_on_after_a_kill"},
}
"""Tests that a fault cannot but fail as well."""


@pytest.fixture(scope="module")
def failed(run_suite: RunSuite) -> Failures:
    # what the faults have nothing to do with is left out
    chosen = "not loads and not bad_options and not described and not round_trip"
    return run_suite("pass_faults", ("", "_run", "_plan", "_options"), chosen)


def test_a_good_pass_stands_its_contract(failed: Failures) -> None:
    assert failed["Good"] == {}


@pytest.mark.parametrize("fault", FOUND_BY)
def test_a_planted_fault_is_found(failed: Failures, fault: str) -> None:
    """By the test that is meant to, and no test fails that has nothing to do with it."""
    assert FOUND_BY[fault] <= set(failed[fault])
    assert set(failed[fault]) <= FOUND_BY[fault] | ALSO_FOUND_BY.get(fault, set())


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
def test_the_contract_says_what_it_found(failed: Failures, fault: str, words: str) -> None:
    assert any(words in text for text in failed[fault].values()), failed[fault]
