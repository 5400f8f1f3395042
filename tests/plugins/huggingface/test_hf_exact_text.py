"""Text used in a template is the text in the file: for every type of file, at every row."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from modelpress.api import DataContext, UserError
from modelpress_plugins.huggingface.data_config import HuggingfaceOptions, LoadDataset
from modelpress_plugins.huggingface.data_files import look_into
from modelpress_plugins.huggingface.file_records import records
from modelpress_plugins.huggingface.source import open_huggingface


def answers(file: Path, store: Path, told: list[str] | None = None, **load: Any) -> list[str]:
    """The last column of each row, as a template writes it."""
    data = DataContext(store, (told if told is not None else []).append)
    options = HuggingfaceOptions.parse(
        {
            "load_dataset_config": {"data_files": str(file), **load},
            "pre_process_data_config": {"text_template": "{phrase} {tone}", "completion_only": True},
        }
    )
    return [exchange.answer for exchange in open_huggingface(options, data).exchanges()]


@pytest.mark.parametrize(
    "written",
    [
        ["00123", "04567"], ["1E5", "2E3"], ["True", "False"], ["3", "3.5"], ["", "x"], ["NA", "null"],
        ["1.10", "7"], ["2024-01-02", "nan"], [" padded ", "+5"], ["1,000", '"quoted"'], ["0x10", "1_000"],
        ["-0", "1e400"], ["12345678901234567890123", "0.1000000000000000055"],
    ],
)  # fmt: skip
def test_a_csv_cell_is_taken_as_it_stands(written: list[str], tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in written]
    file.write_text("phrase,tone\n" + "".join(f"p,{cell}\n" for cell in quoted))
    assert answers(file, tmp_path / "store") == written


@pytest.mark.parametrize(
    "written",
    [["3", "3.5"], ["1E5", "2e-3"], ["-0", "1.10"], ["true", "false"], ["1e400", "123456789012345678901"]],
)
@pytest.mark.parametrize("form", ["lines", "list", "field"])
def test_a_json_number_is_taken_as_it_stands(written: list[str], form: str, tmp_path: Path) -> None:
    rows = [f'{{"phrase": "p", "tone": {value}}}' for value in written]
    file, load = tmp_path / "rows.json", {"field": "rows"} if form == "field" else {}
    file.write_text(
        "\n".join(rows)
        if form == "lines"
        else f"[{', '.join(rows)}]"
        if form == "list"
        else f'{{"rows": [{", ".join(rows)}]}}'
    )
    assert answers(file, tmp_path / "store", **load) == written


def test_rows_of_different_shapes_stay_what_they_are(tmp_path: Path) -> None:
    """A library that gives each column one type fills in what is missing, and refuses what differs."""
    rows: list[dict[str, Any]] = [
        {"phrase": "a", "tone": "sad"},
        {"phrase": "b", "tone": 7, "more": [1, {"x": None}]},
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    assert answers(file, tmp_path / "store") == ["sad", "7"]
    options = HuggingfaceOptions.parse({"load_dataset_config": {"data_files": str(file)}})
    assert list(open_huggingface(options, DataContext(tmp_path / "store")).records()) == rows


def test_a_long_cell_is_no_trouble(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("phrase,tone\np," + "x" * 300_000 + "\n")
    assert look_into(file, "csv", LoadDataset(), lambda row, place: None).rows == 1
    assert [len(answer) for answer in answers(file, tmp_path / "store")] == [300_000]


def test_typed_and_packed_files_are_read(tmp_path: Path) -> None:
    table = pa.table({"phrase": ["a", "b"], "tone": [5, None]})
    parquet.write_table(table.slice(0, 1), tmp_path / "rows.parquet")
    assert answers(tmp_path / "rows.parquet", tmp_path / "store") == ["5"]
    with gzip.open(tmp_path / "rows.jsonl.gz", "wt") as packed:
        packed.write('{"phrase": "a", "tone": 007.0}'.replace("007.0", "7.0"))
    assert answers(tmp_path / "rows.jsonl.gz", tmp_path / "store", data_name="json") == ["7.0"]


def test_several_files_and_splits_keep_their_order(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.csv").write_text("phrase,tone\n" + "".join(f"p,{name}{i}\n" for i in range(4)))
    files = {"train": [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")], "test": str(tmp_path / "c.csv")}
    options = HuggingfaceOptions.parse(
        {"load_dataset_config": {"data_files": files, "split": "test[1:3]+train[50%:]", "data_name": "csv"}}
    )
    tones = [row["tone"] for row in open_huggingface(options, DataContext(tmp_path / "store")).records()]
    assert tones == ["c1", "c2", "b0", "b1", "b2", "b3"]
    missing = HuggingfaceOptions.parse(
        {"load_dataset_config": {"data_files": files, "split": "eval", "data_name": "csv"}}
    )
    with pytest.raises(UserError, match="no split 'eval'"):
        open_huggingface(missing, DataContext(tmp_path / "store"))


@pytest.mark.parametrize("flip", ["rows.arrow", "complete.json"])
def test_damaged_rows_are_converted_again(flip: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("phrase,tone\n" + "".join(f"p,{i}\n" for i in range(50)))
    before = answers(file, tmp_path / "store")
    told: list[str] = []
    (damaged,) = (tmp_path / "store").rglob(flip)
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    assert answers(file, tmp_path / "store", told) == before
    assert told == ["What was converted of rows.csv is damaged: it is converted again."]
    assert answers(file, tmp_path / "store", told) == before
    assert len(told) == 1


def test_damage_in_what_the_datasets_library_converted_is_told_and_mended(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "rows.jsonl").write_text("".join(f'{{"text": "row {i}"}}\n' for i in range(50)))
    load = {"data_name": "json", "data_dir": str(tmp_path / "rows")}
    options = HuggingfaceOptions.model_validate({"load_dataset_config": load})
    told: list[str] = []

    def texts() -> list[object]:
        data = DataContext(tmp_path / "store", told.append)
        return [row["text"] for row in open_huggingface(options, data).records()]

    before = texts()
    (converted,) = (tmp_path / "store").rglob("*.arrow")
    content = converted.read_bytes()
    converted.write_bytes(content.replace(b"row 7", b"row 8"))
    assert texts() == before
    assert told == [f"What was converted of {tmp_path / 'rows'} is damaged: it is converted again."]
    assert texts() == before
    assert len(told) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[{"a": 1}, {"a": ', "record 2"), ('[{"a": 1} {"a": 2}]', "record 2"),
        ('[{"a": 1}] x', "more after"),
        ('{"a": 1}\n{"a": \n', ":2 is not valid JSON"), ('[{"a": 1}, 3]', "Row 2 .* should be a record"),
        ("[", "record 1"),
    ],
)  # fmt: skip
def test_broken_json_is_told_with_its_place(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text(text)
    with pytest.raises(UserError, match=told):
        list(records(file, "json"))


def test_broken_csv_and_other_encodings_are_told_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n1,2,3\n")
    with pytest.raises(UserError, match=r"a\.csv:3 has 3 cells, but the header has 2"):
        list(records(tmp_path / "a.csv", "csv"))
    (tmp_path / "b.csv").write_text('a,b\n1,"2\n')
    with pytest.raises(UserError, match=r"b\.csv:2 cannot be read"):
        list(records(tmp_path / "b.csv", "csv"))
    (tmp_path / "c.csv").write_bytes("a,b\n1,é\n".encode("cp1252"))
    with pytest.raises(UserError, match="is not UTF-8 text"):
        list(records(tmp_path / "c.csv", "csv"))


def test_a_list_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelpress_plugins.huggingface.file_records._CHUNK", 7)
    rows = [{"a": f"x{i}" * (i % 5), "b": [i, {"c": None}]} for i in range(40)]
    file = tmp_path / "rows.json"
    for text in (json.dumps(rows), json.dumps(rows, indent=2), "\n " + json.dumps(rows) + "\n\n"):
        file.write_text(text)
        assert [json.loads(text) for text in records(file, "json")] == rows
    file.write_text(" [ ] ")
    assert list(records(file, "json")) == []
