"""How sizes, times and numbers are written for people."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelpress.figures import duration, number, plural, shorten_path, size


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (3_141_000, "3.1 MB"), (999_960, "1.0 MB"),
     (123_456_789, "123 MB"), (2.5e9, "2.5 GB"), (7e12, "7.0 TB")],
)  # fmt: skip
def test_size(count: float, shown: str) -> None:
    assert size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0 s"), (42.12, "42.1 s"), (59.96, "1 min 00 s"), (192, "3 min 12 s"), (7500, "2 h 05 min")],
)
def test_duration(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "noun", "shown"),
    [(1, "pass", "1 pass"), (2, "pass", "2 passes"), (3, "entry", "3 entries"), (2, "day", "2 days")],
)
def test_plural(count: int, noun: str, shown: str) -> None:
    assert plural(count, noun) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(5012.4, "5012"), (0.12345, "0.1235"), (97.5, "97.5"), (3, "3"), (1e-9, "1e-09")]
)
def test_number(value: float, shown: str) -> None:
    assert number(value) == shown


def test_a_path_is_shortened_where_it_is_below_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shorten_path(str(tmp_path / "out" / "model")) == str(Path("out", "model"))
    assert shorten_path(str(tmp_path.parent)) == str(tmp_path.parent)
