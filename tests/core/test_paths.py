"""Values inside nested options are replaced where they stand, and local paths count from a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from modelpress.markers import LocalPath
from modelpress.options import Options
from modelpress.paths import each_text, put_at, value_at, with_local_paths


class Inner(Options):
    folder: Annotated[str, LocalPath()] = "default"


class WithFolders(Options):
    python: Annotated[str | None, LocalPath()] = None
    before: Annotated[list[str], LocalPath()] = Field(default_factory=list)
    inner: list[Inner] = Field(default_factory=list)
    other: str = "stays"


def test_local_paths_count_from_the_folder(tmp_path: Path) -> None:
    options = WithFolders.parse({"python": "env", "before": ["a", "/b"], "inner": [{"folder": "x"}, {}]})
    found = with_local_paths(options, tmp_path)
    assert found.python == str(tmp_path / "env")
    assert found.before == [str(tmp_path / "a"), "/b"]
    assert [each.folder for each in found.inner] == [str(tmp_path / "x"), str(tmp_path / "default")]
    assert found.other == "stays"
    assert found.model_fields_set == {"python", "before", "inner"}


def test_the_users_home_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert with_local_paths(WithFolders.parse({"python": "~/env"}), Path("/x")).python == str(
        tmp_path / "env"
    )


def test_options_without_local_paths_stay_the_same() -> None:
    options = WithFolders.parse({})
    found = with_local_paths(options, Path("/x"))
    assert found == options
    assert not found.model_fields_set


def test_a_value_is_put_where_it_stands() -> None:
    values = {"a": [{"b": 1}, {"b": 2}], "c": "x"}
    put_at(values, ("a", 1, "b"), 3, values)
    assert values == {"a": [{"b": 1}, {"b": 3}], "c": "x"}
    assert value_at(values, ("a", 1, "b")) == 3
    with pytest.raises(LookupError):
        value_at(values, ("a", 5, "b"))


def test_what_is_missing_on_the_way_is_taken_from_the_whole() -> None:
    whole = {"a": [{"b": 1, "c": 2}]}
    values: dict[str, object] = {}
    put_at(values, ("a", 0, "b"), 9, whole)
    assert values == {"a": [{"b": 9, "c": 2}]}
    assert whole == {"a": [{"b": 1, "c": 2}]}


def test_the_matches_of_a_glob_take_its_place_in_a_list() -> None:
    values = {"files": ["a", "*.txt", "z"]}
    put_at(values, ("files", 1), ["x", "y"], values, spread=True)
    assert values == {"files": ["a", "x", "y", "z"]}
    put_at(values, ("files", 0), ["x", "y"], values)
    assert values["files"][0] == ["x", "y"]


def test_every_text_is_changed_and_nothing_else() -> None:
    assert each_text({"a": ["x", 1, None], "b": "y"}, str.upper) == {"a": ["X", 1, None], "b": "Y"}
