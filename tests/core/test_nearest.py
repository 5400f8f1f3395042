"""Did you mean …?"""

from __future__ import annotations

import pytest

from modelpress.nearest import did_you_mean, nearest

NAMES = ["LoRA", "QLoRA", "MergeAdapterWeights", "train_data_config", "r"]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("lora", "LoRA"),
        ("MergeAdapterWeight", "MergeAdapterWeights"),
        ("merge-adapter-weights", "MergeAdapterWeights"),
        ("train_data_confg", "train_data_config"),
        ("traindataconfig", "train_data_config"),
        ("Quantize", None),
        ("", None),
    ],
)
def test_the_nearest_name_is_found_whatever_its_case(name: str, found: str | None) -> None:
    assert nearest(name, NAMES) == found


def test_all_names_are_told_when_none_is_near() -> None:
    assert did_you_mean("zzz", ["b", "A"], what="There are") == "There are: A, b."
    assert did_you_mean("zzz", []) == ""
