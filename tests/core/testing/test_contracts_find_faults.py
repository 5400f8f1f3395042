"""Faults planted in plugins of the other kinds, one in each: the contracts find them, and pass a good one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Failures, RunSuite

FOUND_BY = {
    "Shuffled": "test_it_gives_the_same_every_time",
    "HashOrder": "test_it_gives_the_same_in_another_process",
    "UntrueColumns": "test_what_it_says_before_is_true",
    "LeakyCut": "test_a_cut_leaves_nothing_on_both_sides",
    "OddLabels": "test_its_samples_are_whole",
    "RowsLibrary": "test_it_requires_the_libraries_that_it_imports",
    "RowsStray": "test_it_keeps_what_it_converts_in_the_folder_it_is_given",
    "looks_only": "test_its_check_refuses_a_file_that_is_cut",
    "checks_nothing": "test_its_check_refuses_an_empty_folder",
    "check_writes": "test_its_check_accepts_a_whole_model",
    "load_writes": "test_it_opens_and_closes",
    "usage_path": "test_what_its_card_tells_names_nothing_of_this_machine",
    "PathIdentity": "test_the_same_model_elsewhere_has_the_same_identity",
    "RaisesWhenGone": "test_a_model_that_is_not_there_is_told_and_not_raised",
    "OddFacts": "test_its_facts_can_be_written",
    "OtherModelFormat": "test_it_gives_the_format_that_it_promises",
    "unpromised": "test_it_gives_the_numbers_that_it_promises",
    "hash_number": "test_the_same_model_gives_the_same_numbers_elsewhere",
    "reads_variable": "test_it_reads_no_environment_variable",
    "metric_stray": "test_it_leaves_nothing_behind",
    "metric_library": "test_it_requires_the_libraries_that_it_imports",
    "time_identity": "test_its_identity_is_the_same_every_time",
    "name_identity": "test_its_identity_changes_with_the_content",
    "fetch_outside": "test_it_is_brought_below_the_folder",
    "random_fetch": "test_the_same_content_is_brought_every_time",
    "repeats": "test_no_candidate_is_tried_twice",
    "forgets": "test_a_search_that_was_killed_goes_on_as_if_it_had_not_been",
    "unseeded": "test_the_same_search_goes_the_same_way",
    "inactive_axis": "test_it_chooses_from_what_is_allowed",
    "tells_secret": "test_its_check_answers_anywhere",
    "heavy_check": "test_its_check_answers_anywhere",
    "asks_network": "test_its_check_answers_anywhere",
    "silent_option": "test_its_help_says_what_it_does",
    "forgives": "test_a_mistake_is_refused",
    "chatty_json": "test_its_json_is_json",
}
GOOD = (
    "GoodRows",
    "good_text",
    "GoodModel",
    "good_count",
    "good_store",
    "good_grid",
    "good_library",
    "good_word",
)


@pytest.fixture(scope="module")
def failed(run_suite: RunSuite) -> Failures:
    """Good ones stand every test; of each other, the test that is to find its fault is run."""
    found = [f"(Test{name} and {test})" for name, test in FOUND_BY.items()]
    good = [f"(Test{name} and not loads)" for name in GOOD]
    return run_suite("other_faults", ("", "_code"), " or ".join([*good, *found]))


@pytest.mark.parametrize("name", GOOD)
def test_a_good_one_stands_its_contract(failed: Failures, name: str) -> None:
    assert failed[name] == {}


@pytest.mark.parametrize("fault", FOUND_BY)
def test_a_planted_fault_is_found(failed: Failures, fault: str) -> None:
    assert FOUND_BY[fault] in failed[fault]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("RowsLibrary", "iniconfig"),
        ("RowsStray", "rows.idx"),
        ("check_writes", "a check reads only"),
        ("name_identity", "an old result would be taken for the new one"),
        ("unpromised", "words"),
        ("metric_stray", "found.txt"),
        ("forgets", "after 1 candidates"),
        ("asks_network", "asks the network"),
        ("silent_option", "loud"),
    ],
)
def test_the_contract_says_what_it_found(failed: Failures, fault: str, words: str) -> None:
    assert any(words in text for text in failed[fault].values()), failed[fault]
