"""Compiled code that travels: which Python can import it."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from modelpress.compiled import not_for, suffixes_of

HERE = tuple(EXTENSION_SUFFIXES)
GLIBC = (".cpython-311-x86_64-linux-gnu.so", ".abi3.so", ".so")
NEWER = (".cpython-312-x86_64-linux-gnu.so", ".abi3.so", ".so")
MUSL = (".cpython-311-x86_64-linux-musl.so", ".abi3.so", ".so")
WINDOWS = (".cp311-win_amd64.pyd", ".pyd")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "acme"
    folder.mkdir()
    (folder / "__init__.py").touch()
    return folder


def test_code_without_compiled_files_runs_anywhere(package: Path) -> None:
    for place in (GLIBC, NEWER, MUSL, WINDOWS):
        assert not_for([package], place) is None


@pytest.mark.parametrize(
    ("name", "place", "runs"),
    [
        ("_fast.cpython-311-x86_64-linux-gnu.so", GLIBC, True),
        ("_fast.cpython-311-x86_64-linux-gnu.so", NEWER, False),
        ("_fast.cpython-311-x86_64-linux-gnu.so", MUSL, False),
        ("_fast.cpython-311-x86_64-linux-gnu.so", WINDOWS, False),
        ("_fast.cp311-win_amd64.pyd", WINDOWS, True),
        ("_fast.abi3.so", HERE, True),
        ("libacme.so", HERE, True),
        ("libacme.so", (".cpython-311-sparc-solaris.so", ".so"), False),
        ("_fast.abi3.so", (".cpython-311-sparc-solaris.so", ".abi3.so", ".so"), False),
    ],
)
def test_a_compiled_file_runs_where_its_tag_fits(package: Path, name: str, place, runs: bool) -> None:
    (package / "inner").mkdir()
    (package / "inner" / name).touch()
    found = not_for([package], place)
    assert (found is None) is runs
    assert found is None or found.name == name


def test_a_top_level_module_is_looked_at_too(tmp_path: Path) -> None:
    module = tmp_path / "_acme.cpython-311-x86_64-linux-gnu.so"
    module.touch()
    assert not_for([module], GLIBC) is None
    assert not_for([module], NEWER) == module


def test_another_version_of_python_on_this_machine_differs_in_its_number_alone() -> None:
    there = suffixes_of("3.99.1")
    assert len(there) == len(HERE)
    assert "399" in there[0]
    assert there[0].replace("399", suffix_number()) == HERE[0]
    assert there[1:] == HERE[1:]


def suffix_number() -> str:
    import sys

    return f"{sys.version_info.major}{sys.version_info.minor}"
