"""Rows: loading, exchanges, cutting into parts, functions, chats, dummy data."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from modelpress.api import DataContext, UserError
from modelpress_plugins.huggingface.data_config import DummyOptions
from modelpress_plugins.huggingface.dummy import open_dummy
from modelpress_plugins.huggingface.source import open_huggingface

TEMPLATE = "### Text: {phrase}\n### The tone is:\n{tone}"


@pytest.fixture
def opened(tmp_path: Path, options: Any) -> Any:
    def make(file: Path | None, **given: Any) -> Any:
        return open_huggingface(options(file, **given), DataContext(tmp_path / "data"))

    return make


def phrases(source: Any) -> set[str]:
    return {row["phrase"] for row in source.records()}


def test_exchanges_are_prompt_and_answer(opened: Any, tones: Path) -> None:
    first = next(opened(tones, text_template=TEMPLATE).exchanges())
    assert (first.prompt, first.answer) == ("### Text: phrase number 0\n### The tone is:\n", "sad")


def test_exchanges_of_plain_text_are_refused(opened: Any, tones: Path) -> None:
    with pytest.raises(UserError, match="which part is the answer"):
        next(opened(tones, text_cols="phrase").exchanges())


@pytest.mark.parametrize("size", [0.3, 3, 1])
def test_a_split_never_has_equal_rows_on_both_sides(opened: Any, tones: Path, size: float) -> None:
    train, held = opened(tones, text_template=TEMPLATE).split(size, seed=0)
    assert not phrases(train) & phrases(held)
    assert len(phrases(train) | phrases(held)) == 9
    wanted = 3 if size == 0.3 else size
    assert wanted <= len(list(held.records())) <= wanted + 1


def test_a_split_depends_on_content_and_seed_alone(opened: Any, tones: Path, rows: Any) -> None:
    turned = rows("turned.json", json.loads(tones.read_text())[::-1])
    cuts = [phrases(opened(file, text_template=TEMPLATE).split(3, seed=4)[1]) for file in (tones, turned)]
    assert cuts[0] == cuts[1]
    assert any(phrases(opened(tones, text_cols="phrase").split(3, s)[1]) != cuts[0] for s in range(5))


def test_a_split_of_equal_rows_is_refused(opened: Any, rows: Any) -> None:
    same = opened(rows("same.json", [{"text": "x"}] * 5))
    with pytest.raises(UserError, match="5 rows, 1 of them distinct"):
        same.split(2, 0)


def test_holdout_parts_share_no_row_and_miss_none(opened: Any, rows: Any) -> None:
    many = rows("many.json", [{"text": f"row {i % 300}", "id": i} for i in range(400)])
    parts = {}
    for part in ("train", "eval"):
        cut = {"part": part, "share": 0.25, "by": ["text"]}
        parts[part] = [row["text"] for row in opened(many, top={"holdout": cut}).records()]
    assert not set(parts["train"]) & set(parts["eval"])
    assert len(parts["train"]) + len(parts["eval"]) == 400
    assert 60 <= len(parts["eval"]) <= 140


def test_the_parts_of_the_embedded_data_never_share_a_phrase(opened: Any, emotions_data: Path) -> None:
    train, held = (
        phrases(opened(emotions_data, text_template=TEMPLATE, top={"holdout": {"part": part}}))
        for part in ("train", "eval")
    )
    assert not train & held
    assert 0.15 < len(held) / len(train | held) < 0.25


def test_a_part_of_a_file_stays_the_same_when_rows_are_added(opened: Any, rows: Any) -> None:
    few, more = (rows(f"{n}.json", [{"text": f"row {i}"} for i in range(n)]) for n in (50, 90))
    cut = {"holdout": {"part": "eval"}}
    held = [{row["text"] for row in opened(file, top=cut).records()} for file in (few, more)]
    assert held[0] < held[1]


def test_a_split_can_be_sliced(opened: Any, tones: Path) -> None:
    assert len(list(opened(tones, load={"split": "train[:40%]"}, text_cols="phrase").records())) == 4


def test_files_of_each_kind_are_loaded(opened: Any, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n{"text": "y"}\n')
    (tmp_path / "a.csv").write_text("text,n\nx,1\ny,2\n")
    (tmp_path / "a.tsv").write_text("text\tn\nx\t1\ny\t2\n")
    (tmp_path / "a.txt").write_text("x\ny\n")
    (tmp_path / "a.json").write_text('{"rows": [{"text": "x"}, {"text": "y"}]}')
    for name in ("a.jsonl", "a.csv", "a.tsv", "a.txt", "a.json"):
        load = {"field": "rows"} if name == "a.json" else {}
        assert [row["text"] for row in opened(tmp_path / name, load=load).records()] == ["x", "y"], name


def test_a_replaced_file_is_read_again_even_with_the_old_time(opened: Any, rows: Any) -> None:
    file = rows("data.json", [{"text": "old"}])
    stat = file.stat()
    assert next(opened(file).records())["text"] == "old"
    rows("data.json", [{"text": "new"}])
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert next(opened(file).records())["text"] == "new"


def test_loading_a_local_file_asks_no_network(
    opened: Any, tones: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert len(list(opened(tones, text_cols="phrase").records())) == 10


def test_a_damaged_file_is_refused_with_the_reason(opened: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('[{"text": "x"}, {')
    with pytest.raises(UserError, match=r"bad\.json is not valid JSON: .* record 2"):
        opened(tmp_path / "bad.json")


def test_a_function_of_the_users_script_writes_the_text(opened: Any, tones: Path, tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text("def ask(row):\n    return row['phrase'] + ' is ', row['tone']\n")
    source = opened(tones, top={"user_script": str(script)}, text_formatting_func="ask", completion_only=True)
    first = next(source.exchanges())
    assert (first.prompt, first.answer) == ("phrase number 0 is ", "sad")


def test_a_function_that_is_not_there_is_refused(opened: Any, tones: Path) -> None:
    with pytest.raises(UserError, match="has no function 'nothing'"):
        opened(tones, text_formatting_func="json:nothing")


def test_a_function_that_fails_names_the_row(opened: Any, tones: Path, tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text("def ask(row):\n    return row['nothing']\n")
    source = opened(tones, top={"user_script": str(script)}, text_formatting_func="ask")
    with pytest.raises(UserError, match=r"Row 1 of tones\.json: ask failed with KeyError"):
        next(source.exchanges())


def chat(*turns: str) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)]}


def test_a_chat_takes_the_loss_on_the_assistants_turns(opened: Any, rows: Any, tokenizer: Any) -> None:
    file = rows("chat.json", [chat("hi", "hello", "sad?", "joy")])
    (sample,) = opened(file, chat_template=True, completion_only=True).samples(tokenizer)
    learned = tokenizer.decode([label for label in sample.labels if label != -100])
    assert learned == "hello<|end|>\njoy<|end|>\n</s>"
    assert tokenizer.decode(sample.input_ids).startswith("<s><|user|>\nhi<|end|>\n<|assistant|>\nhello")


def test_the_exchange_of_a_chat_is_its_last_answer(opened: Any, rows: Any, tokenizer: Any) -> None:
    file = rows("chat.json", [chat("hi", "hello", "sad?", "joy")])
    (exchange,) = opened(file, chat_template=True).exchanges(tokenizer)
    assert exchange.answer == "joy"
    assert exchange.prompt.endswith("<|user|>\nsad?<|end|>\n<|assistant|>\n")


def test_a_chat_that_ends_with_a_question_learns_no_end_there(opened: Any, rows: Any, tokenizer: Any) -> None:
    file = rows("chat.json", [chat("hi", "hello", "sad?")])
    (sample,) = opened(file, chat_template=True, completion_only=True).samples(tokenizer)
    learned = tokenizer.decode([label for label in sample.labels if label != -100])
    assert learned == "hello<|end|>\n"


def test_a_chat_template_may_be_given(opened: Any, rows: Any, tokenizer: Any) -> None:
    file = rows("chat.json", [chat("hi", "hello")])
    template = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
    (sample,) = opened(file, chat_template=template).samples(tokenizer)
    assert tokenizer.decode(sample.input_ids) == "<s>[user] hi\n[assistant] hello\n</s>"


def test_messages_of_another_shape_are_refused(opened: Any, rows: Any, tokenizer: Any) -> None:
    file = rows("chat.json", [{"messages": "hi"}])
    with pytest.raises(UserError, match="should be a list of"):
        list(opened(file, chat_template=True).samples(tokenizer))


@pytest.mark.parametrize(
    ("form", "row", "prompt_end", "answer"),
    [
        ("alpaca", {"instruction": "Add.", "input": "2+2", "output": "4"}, "2+2\n\n### Response: ", "4"),
        ("chip2", {"text": "<human>: hi\n<bot>: hello"}, "hi", "hello"),
        ("self_instruct", {"prompt": "hi", "completion": "hello"}, "hi", "hello"),
        ("hh_rlhf", {"chosen": "Human: hi"}, "", "Human: hi"),
    ],
)
def test_pair_formats(
    opened: Any, rows: Any, form: str, row: dict[str, str], prompt_end: str, answer: str
) -> None:
    exchange = next(opened(rows("p.json", [row]), dataset_type="pair", pair_format=form).exchanges())
    assert exchange.prompt.endswith(prompt_end)
    assert exchange.answer == answer


def test_custom_pairs_take_columns_and_templates(opened: Any, rows: Any) -> None:
    file = rows("p.json", [{"q": "2+2", "a": "4"}])
    source = opened(
        file, dataset_type="pair", pair_format="custom", input_template="Q: {q}\nA: ", output_col="a"
    )
    exchange = next(source.exchanges())
    assert (exchange.prompt, exchange.answer) == ("Q: 2+2\nA: ", "4")


def test_dummy_data_is_the_same_each_time_and_has_no_special_tokens(tmp_path: Path, tokenizer: Any) -> None:
    config = DummyOptions.parse({"load_dataset_config": {"max_samples": 3, "input_shapes": [[1, 7]]}})
    source = open_dummy(config, DataContext(tmp_path))
    made = list(source.samples(tokenizer))
    assert made == list(open_dummy(config, DataContext(tmp_path)).samples(tokenizer))
    assert [len(s.input_ids) for s in made] == [7, 7, 7]
    assert not {t for s in made for t in s.input_ids} & set(tokenizer.all_special_ids)
    train, held = source.split(1, 0)
    assert [row["number"] for part in (train, held) for row in part.records()] == [0, 1, 2]
