"""Sizes as people write them, wherever one is asked for."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from modelpress.api import Options, Size
from modelpress.config.validation import faults
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


class _Sized(Options):
    limit: Size = "1GB"


@pytest.mark.parametrize("value", [5, "500MB", "2GiB"])
def test_an_option_that_is_a_size_keeps_what_was_written(value: int | str) -> None:
    assert _Sized.parse({"limit": value}).limit == value


@pytest.mark.parametrize("value", ["1XB", "", "-1", 0, -5])
def test_an_option_that_is_no_size_is_refused_when_it_is_read(value: int | str) -> None:
    with pytest.raises(ValidationError) as caught:
        _Sized.parse({"limit": value})
    (fault,) = faults(caught.value, _Sized, {"limit": value}, "Demo")
    assert "'limit' has to be a number of bytes, or text like" in fault.message
