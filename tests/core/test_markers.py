"""Markers are found wherever they stand in a model of options, or the class is refused."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, NewType

import pytest
from pydantic import BaseModel, Field, RootModel, SecretStr, ValidationError, field_serializer
from typing_extensions import TypeAliasType, TypedDict

from modelpress.errors import UserError
from modelpress.marker_faults import find_fault
from modelpress.markers import (
    DataRole,
    NotFetched,
    Resource,
    ResourcePath,
    ResourceRef,
    Searchable,
    Secret,
    SecretName,
    marks,
)
from modelpress.options import Options

FileName = NewType("FileName", str)
FILES = TypeAliasType("FILES", list[ResourcePath])


class Part(Options):
    file: ResourcePath
    weight: float = 1.0


class Plain(BaseModel):
    file: ResourcePath


class Everywhere(Options):
    one: ResourcePath = "one"
    perhaps: ResourcePath | None = None
    outside: Annotated[str | None, Resource(optional=True)] = None
    part: Part | None = None
    parts: list[Part] = Field(default_factory=list)
    pair: tuple[int, Part] | None = None
    some: tuple[Part, ...] = ()
    by_name: dict[str, Part] = Field(default_factory=dict)
    deep: dict[str, list[Part | None]] = Field(default_factory=dict)
    either: Part | int | list[Part] = 3
    files: Sequence[ResourcePath] = ()
    splits: Mapping[str, ResourcePath | list[ResourcePath]] = Field(default_factory=dict)
    word: ResourcePath | Literal["auto"] = "auto"
    named: Annotated[FileName, Resource()] = FileName("named")
    plain: Plain | None = None
    loose: Annotated[Any, Resource()] = None
    bound: Annotated[list[Part], Field(max_length=3)] = Field(default_factory=list)


@pytest.mark.parametrize(
    ("values", "paths"),
    [
        ({}, []),
        ({"perhaps": "f"}, ["perhaps"]),
        ({"outside": "f"}, ["outside"]),
        ({"part": {"file": "f"}}, ["part.file"]),
        ({"parts": [{"file": "f"}, {"file": "g"}]}, ["parts.0.file", "parts.1.file"]),
        ({"pair": [1, {"file": "f"}]}, ["pair.1.file"]),
        ({"some": [{"file": "f"}]}, ["some.0.file"]),
        ({"by_name": {"a": {"file": "f"}}}, ["by_name.a.file"]),
        ({"deep": {"a": [None, {"file": "f"}]}}, ["deep.a.1.file"]),
        ({"either": {"file": "f"}}, ["either.file"]),
        ({"either": [{"file": "f"}]}, ["either.0.file"]),
        ({"either": 5}, []),
        ({"files": ["f", "g"]}, ["files.0", "files.1"]),
        ({"splits": {"train": "f", "test": ["g", "h"]}}, ["splits.train", "splits.test.0", "splits.test.1"]),
        ({"word": "auto"}, []),
        ({"word": "f"}, ["word"]),
        ({"plain": {"file": "f"}}, ["plain.file"]),
        ({"loose": ["f"]}, ["loose"]),
        ({"bound": [{"file": "f"}]}, ["bound.0.file"]),
        ({"perhaps": {"type": "store", "path": "x"}}, ["perhaps"]),
        ({"parts": [{"file": {"type": "store"}}]}, ["parts.0.file"]),
        ({"splits": {"train": [{"type": "store"}]}}, ["splits.train.0"]),
    ],
)
def test_a_marker_is_found_in_options_and_in_json_alike(values: dict[str, Any], paths: list[str]) -> None:
    always = ["named", "one"]
    options = Everywhere.parse(values)
    assert sorted(m.option for m in marks(Everywhere, options, Resource)) == sorted([*always, *paths])
    written = [m.option for m in marks(Everywhere, values, Resource)]
    assert sorted(written) == sorted(paths)


def test_a_type_alias_is_looked_through() -> None:
    class Config(Options):
        files: FILES

    assert [m.option for m in marks(Config, {"files": ["f"]}, Resource)] == ["files.0"]


def test_a_root_model_adds_no_step_to_the_path() -> None:
    class Files(RootModel[list[ResourcePath]]):
        pass

    class Config(Options):
        files: Files

    options = Config.parse({"files": ["f"]})
    assert [m.option for m in marks(Config, options, Resource)] == ["files.0"]
    assert options.canonical() == {"files": ["f"]}


def test_every_kind_of_marker_is_found_by_the_same_walk() -> None:
    class Inner(Options):
        rank: Annotated[int, Searchable((4, 8))] = 4
        token: SecretName = "ACME_TOKEN"

    class Outer(Options):
        data: Annotated[str | None, DataRole("train")] = "train"
        inner: Inner | None = Inner()
        more: list[Inner] = Field(default_factory=lambda: [Inner()])

    options = Outer()
    assert [m.option for m in marks(Outer, options, Searchable)] == ["inner.rank", "more.0.rank"]
    assert [m.value for m in marks(Outer, options, Secret)] == ["ACME_TOKEN", "ACME_TOKEN"]
    assert [(m.marker.role, m.value) for m in marks(Outer, options, DataRole)] == [("train", "train")]


def test_a_resource_is_typed_and_comes_back_as_it_was_written() -> None:
    written = {"file": {"type": "store", "path": "x", "version": 2}}
    part = Part.parse(written)
    assert isinstance(part.file, ResourceRef)
    assert part.file.type == "store"
    assert part.file.options == {"path": "x", "version": 2}
    assert part.canonical()["file"] == written["file"]
    assert Part.parse(part.canonical()) == part


def test_a_resource_is_no_path_before_it_is_fetched() -> None:
    part = Part.parse({"file": {"type": "store"}})
    with pytest.raises(NotFetched, match="'store' has not been fetched yet"):
        os.fspath(part.file)


def test_lists_of_json_stay_welcome_where_a_tuple_is_marked() -> None:
    class Config(Options):
        files: Annotated[tuple[str, ...], Resource()] = ()

    assert Config.parse({"files": ["a", "b"]}).files == ("a", "b")


@dataclass
class Holder:
    file: ResourcePath


class HolderDict(TypedDict):
    file: ResourcePath


class HolderTuple(NamedTuple):
    file: ResourcePath


@pytest.mark.parametrize(
    ("annotation", "told"),
    [
        (dict[ResourcePath, int], "marker on a mapping's keys"),
        (Annotated[set[str], Resource()], "marker in a set"),
        (frozenset[ResourcePath], "marker in a frozenset"),
        (Holder, "marker in a Holder"),
        (HolderDict, "marker in a HolderDict"),
        (HolderTuple, "marker in a HolderTuple"),
        (list[Holder] | None, "marker in a Holder"),
        (SecretStr, "is a SecretStr; mark it as Annotated[str, Secret()]"),
        (list[SecretStr] | None, "is a SecretStr"),
        (list[Annotated[str, DataRole("train")]], "a role names one data config"),
    ],
)
def test_a_class_is_refused_when_a_marker_could_not_be_found(annotation: Any, told: str) -> None:
    with pytest.raises(UserError) as caught:
        type("Config", (Options,), {"__annotations__": {"here": annotation}})
    assert told in str(caught.value)
    assert "the option here" in str(caught.value)


def test_the_fault_of_an_inner_class_is_told_with_its_path() -> None:
    class Inner(BaseModel):
        keys: dict[str, set[ResourcePath]]

    with pytest.raises(UserError, match=r"the option inner\.\*\.keys\.\* has a marker in a set"):

        class Config(Options):
            inner: list[Inner]


def test_a_marked_option_that_is_rewritten_or_left_out_is_refused() -> None:
    with pytest.raises(UserError, match="left out or rewritten"):

        class Hidden(Options):
            file: Annotated[str, Resource()] = Field(default="x", exclude=True)

    with pytest.raises(UserError, match="left out or rewritten"):

        class Rewritten(Options):
            file: ResourcePath = "x"

            @field_serializer("file")
            def shorten(self, value: str) -> str:
                return value[:1]


def test_a_class_that_names_itself_is_walked_to_its_end() -> None:
    class Tree(Options):
        file: ResourcePath | None = None
        children: list[Tree] = Field(default_factory=list)

    Tree.model_rebuild(_types_namespace={"Tree": Tree})
    Tree.require_sound()
    options = Tree.parse({"children": [{"children": [{"file": "f"}]}]})
    assert [m.option for m in marks(Tree, options, Resource)] == ["children.0.children.0.file"]


def test_a_secret_is_named_by_its_variable_and_never_repeated() -> None:
    class Config(Options):
        token: SecretName

    assert Config.parse({"token": "ACME_TOKEN"}).token == "ACME_TOKEN"
    with pytest.raises(ValidationError) as caught:
        Config.parse({"token": "hunter2-planted"})
    assert "name of an environment variable" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_plain_classes_have_no_fault() -> None:
    assert find_fault(Everywhere) == ""
