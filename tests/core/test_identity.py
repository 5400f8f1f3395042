"""Paths as users write them: what can be none is told, never raised by the file system."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelpress.errors import UserError
from modelpress.identity import named_path


def test_a_path_counts_from_the_folder_and_home_is_home(tmp_path: Path) -> None:
    assert named_path("a/b", tmp_path) == tmp_path / "a" / "b"
    assert named_path("/a", tmp_path) == Path("/a")
    assert named_path("~/a", tmp_path) == Path.home() / "a"
    assert named_path("~nobody-of-this-name/a", tmp_path) == tmp_path / "~nobody-of-this-name" / "a"


@pytest.mark.parametrize("text", ["x" * 100_000, "a/" + "é" * 200, "a\0b"])
def test_what_no_file_system_takes_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError) as told:
        named_path(text, tmp_path)
    assert len(told.value.message) < 200
