"""Reading files: every key has its place, and what is no workflow is told with file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelpress.config.source import read_source
from modelpress.errors import Location, UserError, WorkflowError
from modelpress.problems import Problems


def read(folder: Path, text: str, name: str = "w.yaml") -> tuple[Any, dict[str, tuple[int, int]], list[str]]:
    """(plain values, dotted path -> (line, column), problems)"""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    problems = Problems()
    root = read_source(path, problems)
    places = {name: (node.place.line, node.place.column) for name, node in root.walk()}
    return root.plain(), places, [str(problem) for problem in problems]


def place_of_error(folder: Path, text: str, name: str = "w.yaml") -> tuple[str, Location]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WorkflowError) as caught:
        read_source(path, Problems())
    (problem,) = caught.value.problems
    assert problem.where is not None
    assert problem.where.file == str(path)
    return problem.message, problem.where


def test_yaml_keys_and_items_have_their_places(tmp_path: Path) -> None:
    plain, places, _ = read(tmp_path, "a:\n  b: 1\n  c: [x, {d: y}]\n")
    assert plain == {"a": {"b": 1, "c": ["x", {"d": "y"}]}}
    assert places == {
        "a": (1, 1),
        "a.b": (2, 3),
        "a.c": (3, 3),
        "a.c.0": (3, 7),
        "a.c.1": (3, 10),
        "a.c.1.d": (3, 11),
    }


def test_json_indented_with_tabs_has_its_places(tmp_path: Path) -> None:
    text = '{\n\t"a": {\n\t\t"b": [1.5, null, true, "\\u00e9\\n"]\n\t}\n}'
    plain, places, _ = read(tmp_path, text, "w.json")
    assert plain == json.loads(text)
    assert places["a"] == (2, 2)
    assert places["a.b"] == (3, 3)
    assert places["a.b.2"] == (3, 20)


def test_empty_json_mappings_and_lists_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, '{"a": {}, "b": [ ], "c": [[], {}]}', "w.json")[0] == {
        "a": {},
        "b": [],
        "c": [[], {}],
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4), ("1E5", 1e5), ("-.5", -0.5), ("5.", 5.0), (".5e3", 500.0),
        ("3", 3), ("012", 12), ("0x1f", 31), ("0o17", 15), ("-7", -7),
        ("true", True), ("False", False), ("yes", "yes"), ("no", "no"), ("on", "on"), ("n", "n"),
        ("~", None), ("null", None), ("", None), ("'3'", "3"), ("!!str 5", "5"), ("=", "="), ("1.5.", "1.5."),
        ("12:30", "12:30"), ("2024-01-01", "2024-01-01"), ("1_000", "1_000"), ("0.1.2", "0.1.2"),
    ],
)  # fmt: skip
def test_yaml_values_are_those_that_people_expect(tmp_path: Path, text: str, value: object) -> None:
    read_value = read(tmp_path, f"a: {text}\n")[0]["a"]
    assert (read_value, type(read_value)) == (value, type(value))


def test_merge_keys_and_aliases_work_and_are_copies(tmp_path: Path) -> None:
    text = "x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: {<<: [{c: 1}, *x]}\nw: *x\n"
    plain, _, problems = read(tmp_path, text)
    assert plain["y"] == {"a": 1, "b": 3}
    assert plain["z"] == {"c": 1, "a": 1, "b": 2}
    assert not problems
    root = read_source(tmp_path / "w.yaml", Problems())
    root.mapping["w"].mapping["a"].value = 5
    assert root.plain()["x"]["a"] == 1


@pytest.mark.parametrize(
    ("name", "text"), [("w.yaml", "a: 1\nb: 2\na: 3\n"), ("w.json", '{"a": 1,\n"b": 2,\n"a": 3}')]
)
def test_a_key_written_twice_is_told(tmp_path: Path, name: str, text: str) -> None:
    _, _, problems = read(tmp_path, text, name)
    (problem,) = problems
    assert problem.startswith(
        f"{tmp_path / name}:3: 'a' is written twice in one mapping. It stands in line 1"
    )


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    for name, text in (("w.yaml", "a: 1"), ("w.json", '{"a": 1}')):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
        assert read_source(tmp_path / name, Problems()).plain() == {"a": 1}


def test_a_file_without_a_known_suffix_is_told_by_its_first_character(tmp_path: Path) -> None:
    assert read(tmp_path, '{\n\t"a": 1}', "workflow")[0] == {"a": 1}
    assert read(tmp_path, "a: 1", "workflow.conf")[0] == {"a": 1}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", 3),
        ("a: 1\n\tb: 2\n", 2),
        ("a: 1\n  b: 2\n", 2),
        ("a: 'x\n", 2),
        ("a: 1\n---\nb: 2\n", 2),
        ("a: *nowhere\n", 1),
        ("a: 1\nb: !!python/object/apply:os.system [ls]\n", 2),
        ("a: !secret x\n", 1),
        ("a: !!binary aGk=\n", 1),
        ("a: 1\n[1, 2]: 3\n", 2),
        ("a: {<<: 3}\n", 1),
        ("a: !!int x\n", 1),
        ("- 1\n- 2\n", 1),
        ("just text\n", 1),
    ],
)
def test_broken_yaml_is_told_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    assert place_of_error(tmp_path, text)[1].line == line


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ('{"a": 1,}', 1, 9),
        ('{\n "a" 1}', 2, 6),
        ('{"a": [1 2]}', 1, 10),
        ("[1]", 1, 1),
        ('{"a": 1} x', 1, 10),
    ],
)
def test_broken_json_is_told_with_line_and_column(tmp_path: Path, text: str, line: int, column: int) -> None:
    where = place_of_error(tmp_path, text, "w.json")[1]
    assert where.line == line
    assert abs(where.column - column) <= 1  # Python 3.13 points at the comma, 3.11 behind it


@pytest.mark.parametrize("text", ["", "  \n\n", "# only a comment\n"])
def test_an_empty_file_is_told(tmp_path: Path, text: str) -> None:
    place_of_error(tmp_path, text)


def test_a_tab_in_yaml_gets_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("a:\n\tb: 2\n")
    with pytest.raises(WorkflowError, match="blanks, not tabs"):
        read_source(path, Problems())


@pytest.mark.parametrize("name", ["w.yaml", "w.json"])
def test_endless_nesting_is_refused(tmp_path: Path, name: str) -> None:
    assert "too deep" in place_of_error(tmp_path, "[\n" * 1_500, name)[0]


def test_aliases_that_multiply_without_end_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    assert "too large" in place_of_error(tmp_path, "\n".join(lines))[0]


def test_an_alias_of_itself_is_refused(tmp_path: Path) -> None:
    place_of_error(tmp_path, "a: &a [*a]")


def test_what_is_no_text_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_bytes(b"\x93NUMPY\xff\xfe")
    (tmp_path / "nul.yaml").write_bytes(b"a: 1\nb: \x00\n")
    with pytest.raises(UserError, match="not text in UTF-8"):
        read_source(tmp_path / "w.yaml", Problems())
    with pytest.raises(WorkflowError, match=r"nul.yaml:2: .*U\+0000"):
        read_source(tmp_path / "nul.yaml", Problems())
    with pytest.raises(UserError, match="is a folder"):
        read_source(tmp_path, Problems())
    with pytest.raises(UserError, match="There is no file"):
        read_source(tmp_path / "absent.yaml", Problems())


@pytest.mark.parametrize("text", ['{"a": {"b": "x\\u0000"}}', '{"a": {"b\\u0000": 1}}', 'a: {b: "x\\0"}'])
def test_a_nul_character_is_told_where_it_stands(tmp_path: Path, text: str) -> None:
    """It would be a ValueError of whatever takes it for a path."""
    message, where = place_of_error(tmp_path, text, "w.json" if text.startswith("{") else "w.yaml")
    assert "holds a NUL character" in message
    assert where.line == 1
