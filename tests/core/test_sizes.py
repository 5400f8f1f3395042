"""Sizes as people write them, wherever one is asked for."""

from __future__ import annotations

import pytest

from modelpress.errors import UserError
from modelpress.sizes import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("5GB", 5 * 10**9), ("5g", 5 * 10**9),
        ("2 GiB", 2**31), ("1.5MB", 1_500_000), ("1.5 g", 1_500_000_000),
        ("3kb", 3000), ("2TB", 2 * 10**12), (77, 77), ("77", 77), (" 20 GB ", 20 * 10**9),
    ],
)  # fmt: skip
def test_sizes_are_read(text: int | str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "big", "much", "-5GB", "5 parsecs", "1.2.3GB", 0, "0", "GB"])
def test_what_is_no_size_is_an_error(text: int | str) -> None:
    with pytest.raises(UserError, match="is no size"):
        parse_size(text)
