"""What the plan says of a data config before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelpress_plugins.huggingface.data_checks import describe_huggingface as describe

TEMPLATE = "### Text: {phrase}\n### The tone is:\n{tone}"


def test_a_good_config_has_columns_rows_and_no_problem(told: Any, tones: Path, options: Any) -> None:
    facts = describe(options(tones, text_template=TEMPLATE, completion_only=True), told)
    assert facts.columns == ("phrase", "tone")
    assert facts.rows == 10
    assert told.problems == []


def test_a_misspelt_column_is_told_with_the_nearest_name(told: Any, tones: Path, options: Any) -> None:
    describe(options(tones, text_template="{phrse} {tone}"), told)
    ((message, hint, option),) = told.problems
    assert "no column 'phrse'" in message
    assert hint == "Did you mean 'phrase'?"
    assert option == "pre_process_data_config.text_template"


def test_a_column_misspelt_twice_is_told_once(told: Any, tones: Path, options: Any) -> None:
    describe(options(tones, text_cols=["Phrase"], text_template="{Phrase}: {tone}"), told)
    assert [option for _, _, option in told.problems] == ["pre_process_data_config.text_cols"]


def test_a_missing_default_column_is_told(told: Any, tones: Path, options: Any) -> None:
    describe(options(tones), told)
    assert "no column 'text' It has: 'phrase', 'tone'" in told.text.replace(".", "")


def test_missing_columns_of_chats_pairs_and_holdout_are_told(told: Any, tones: Path, options: Any) -> None:
    describe(options(tones, chat_template=True), told)
    describe(options(tones, dataset_type="pair", pair_format="alpaca"), told)
    describe(
        options(tones, dataset_type="pair", pair_format="custom", input_col="phrase", output_template="{x}"),
        told,
    )
    describe(options(tones, text_cols="tone", top={"holdout": {"part": "eval", "by": ["id"]}}), told)
    assert [option.removeprefix("pre_process_data_config.") for _, _, option in told.problems] == [
        "message_col", "pair_format", "pair_format", "output_template", "holdout.by",
    ]  # fmt: skip


def test_a_missing_file_is_told_with_its_nearest_sibling(told: Any, tones: Path, options: Any) -> None:
    describe(options(tones.with_name("tone.json"), text_cols="tone"), told)
    assert "does not exist" in told.text
    assert "Did you mean 'tones.json'?" in told.text


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.json", "", "is empty"),
        ("a.json", "[]", "has no rows"),
        ("a.jsonl", "\n", "has no rows"),
        ("a.csv", "a,b\n", "no rows"),
        ("a.json", '[{"text": 1},', "not valid JSON"),
        ("a.jsonl", '{"text": "x"}\n{oh}\n', "a.jsonl:2 is not valid JSON"),
        ("a.json", "[1, 2]", "Row 1 of"),
    ],
)
def test_an_empty_or_damaged_file_is_told(
    told: Any, options: Any, tmp_path: Path, name: str, content: str, expected: str
) -> None:
    (tmp_path / name).write_text(content)
    describe(options(tmp_path / name), told)
    assert expected in told.text
    assert len(told.problems) == 1


def test_columns_of_csv_and_text_files(told: Any, options: Any, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('"Best Answer",n\n"x\ny",1\n')
    (tmp_path / "b.txt").write_text("one\ntwo\n")
    csv = describe(options(tmp_path / "a.csv", text_cols="Best Answer"), told)
    text = describe(options(tmp_path / "b.txt"), told)
    assert (csv.columns, csv.rows) == (("Best Answer", "n"), 1)
    assert (text.columns, text.rows) == (("text",), 2)
    assert told.problems == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"text_cols": "phrase", "completion_only": True}, "completion_only needs an answer"),
        ({"text_template": TEMPLATE, "chat_template": True}, "both say what the text is"),
        ({"text_formatting_func": "f"}, "names no module"),
        ({"text_template": "nothing"}, "names no column"),
        ({"text_cols": "tone", "stride": 4}, "stride is for join-sliding-window"),
        ({"text_cols": "tone", "pad_to_max_len": True, "drop_short_sequences": True}, "exclude each other"),
        ({"text_cols": "tone", "strategy": "line-by-line", "joiner": " "}, "joiner is for the join"),
        (
            {"text_template": TEMPLATE, "completion_only": True, "strategy": "join-sliding-window"},
            "would part answers from their prompts",
        ),
        ({"text_cols": "tone", "input_col": "phrase"}, "input_col has no effect"),
    ],
)
def test_options_that_do_not_go_together_are_told(
    told: Any, tones: Path, options: Any, given: dict[str, Any], expected: str
) -> None:
    describe(options(tones, **given), told)
    assert expected in told.text


def test_a_split_that_files_do_not_have_is_told(told: Any, tones: Path, options: Any) -> None:
    describe(options(tones, load={"split": "validation"}, text_cols="tone"), told)
    assert "no split 'validation'" in told.text


def test_a_slice_leaves_the_number_of_rows_open(told: Any, tones: Path, options: Any) -> None:
    facts = describe(options(tones, load={"split": "train[:80%]"}, text_cols="tone"), told)
    assert facts.rows is None
    assert told.problems == []


def test_a_hub_data_set_that_is_not_cached_is_told_when_offline(
    told: Any, options: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    describe(options(None, load={"data_name": "org/set"}), told)
    assert "not in the hub's cache" in told.text
    assert "hf download" in told.text


def test_a_misspelt_kind_of_file_is_no_hub_id(told: Any, options: Any, tones: Path) -> None:
    told.offline = False
    describe(options(tones, load={"data_name": "jsn"}), told)
    assert "Did you mean 'json'?" in told.text


def test_code_of_a_data_set_is_refused(told: Any, options: Any, tones: Path) -> None:
    describe(options(tones, load={"trust_remote_code": True}, text_cols="tone"), told)
    assert "run code of their own" in told.text


def test_a_script_is_not_run_at_plan_time(told: Any, tones: Path, options: Any, tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text("raise SystemExit\n")
    describe(options(tones, top={"user_script": str(script)}, text_formatting_func="f"), told)
    assert told.problems == []


def test_dataloader_options_are_told_to_be_idle(told: Any, tones: Path, options: Any) -> None:
    describe(options(tones, text_cols="tone", top={"dataloader_config": {"batch_size": 2}}), told)
    assert "dataloader_config (batch_size) has no effect" in told.notes[0]


def test_a_resource_is_left_to_its_plugin(told: Any, options: Any) -> None:
    store = {"type": "azureml_datastore", "datastore_name": "x", "relative_path": "y.json"}
    facts = describe(options(None, load={"data_name": "json", "data_files": store}), told)
    assert facts.columns is None
    assert told.problems == []


ASKED = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"messages": "Hi"}, "should be a list"),
        ({"messages": [{"speaker": "me", "text": "Hi"}]}, "should be {role, content}"),
        ({"messages": [{"from": "robot", "value": "Hi"}]}, "is from 'robot'"),
        ({"text": "Hi"}, "'messages'"),
    ],
)
def test_a_row_that_is_no_chat_among_chats_is_told_with_its_number(
    told: Any, options: Any, rows: Any, wrong: dict[str, Any], expected: str
) -> None:
    file = rows("chats.jsonl", [{"messages": [ASKED]}, {"messages": [ASKED, ASKED]}, wrong])
    describe(options(file, chat_template=True), told)
    ((message, _, option),) = told.problems
    assert "Row 3 of chats.jsonl" in message
    assert expected in message
    assert option == "load_dataset_config.data_files"


def test_chats_of_both_forms_may_stand_beside_each_other(told: Any, options: Any, rows: Any) -> None:
    file = rows("chats.jsonl", [{"messages": [ASKED]}, {"messages": [{"from": "human", "value": "Hi"}]}])
    describe(options(file, chat_template=True), told)
    assert told.problems == []
