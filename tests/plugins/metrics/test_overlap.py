"""Answers in words are judged as SQuAD's script judges them."""

from __future__ import annotations

import pytest

from modelpress_plugins.metrics.overlap import shared_words, words


@pytest.mark.parametrize(
    ("given", "right", "f1"),
    [
        ("The cat sat.", "a cat SAT", 1),
        ("cat", "cat sat", 2 / 3),
        ("dog", "cat sat", 0),
        ("cat cat cat", "cat", 0.5),
        ("", "", 1),
        ("the", "", 1),
        ("", "cat", 0),
    ],
)
def test_f1_counts_words_in_common(given: str, right: str, f1: float) -> None:
    assert shared_words(given, right) == pytest.approx(f1)
    assert shared_words(right, given) == pytest.approx(f1)


def test_case_punctuation_and_articles_do_not_count() -> None:
    assert words("  The  U.S.A., an island? ") == ["usa", "island"]
