"""Tokenized samples: made once on disk, shared, no more than are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelpress.api import DataContext, SampleTable
from modelpress_plugins.huggingface import stored_samples
from modelpress_plugins.huggingface.source import open_huggingface

TEMPLATE = "{phrase} is {tone}"


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def opened(tmp_path: Path, options: Any, rows: Any, notes: list[str]) -> Any:
    file = rows("many.json", [{"phrase": f"phrase {i}", "tone": "ab"[i % 2]} for i in range(60)])

    def make(**pre: Any) -> Any:
        given = {"text_template": TEMPLATE, "strategy": "line-by-line", **pre}
        return open_huggingface(options(file, **given), DataContext(tmp_path / "data", notes.append))

    return make


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many samples were made, one number for each time that any were."""
    counts: list[int] = []
    make = stored_samples.make_tokens

    def counted(*arguments: Any) -> Any:
        counts.append(0)
        for tokens in make(*arguments):
            counts[-1] += 1
            yield tokens

    monkeypatch.setattr(stored_samples, "make_tokens", counted)
    return counts


@pytest.mark.parametrize("pre", [{}, {"completion_only": True}, {"pad_to_max_len": True, "max_seq_len": 40}])
def test_by_number_they_are_what_they_are_one_after_another(
    opened: Any, tokenizer: Any, pre: dict[str, Any]
) -> None:
    streamed = list(iter(opened(**pre).samples(tokenizer)))
    table = opened(**pre).samples(tokenizer)
    assert isinstance(table, SampleTable)
    assert [table[i] for i in range(len(table))] == streamed == list(iter(table))
    assert table.lengths == [sum(s.attention_mask or [1] * len(s.input_ids)) for s in streamed]
    assert table.highest_id == max(i for s in streamed for i in s.input_ids)
    with pytest.raises(IndexError):
        table[len(table)]


def test_they_are_made_once_for_all_that_need_the_same(opened: Any, tokenizer: Any, made: list[int]) -> None:
    assert len(opened().samples(tokenizer)) == len(opened().samples(tokenizer)) == 60
    assert made == [60]
    assert len(opened(text_template="{phrase}").samples(tokenizer)) == 60
    assert len(opened(add_special_tokens=False).samples(tokenizer)) == 60
    tokenizer.add_tokens(["phrase"])
    assert len(opened().samples(tokenizer)) == 60
    assert made == [60] * 4


def test_no_more_are_made_than_are_asked_for(opened: Any, tokenizer: Any, made: list[int]) -> None:
    assert len(opened().samples(tokenizer, limit=5, seed=1)) == 5
    assert made == [5]


def test_a_limit_draws_from_all_rows_by_its_seed(opened: Any, tokenizer: Any) -> None:
    def drawn(seed: int | None) -> list[list[int]]:
        return [sample.input_ids for sample in opened().samples(tokenizer, 8, seed)]

    everything = [sample.input_ids for sample in opened().samples(tokenizer)]
    assert drawn(None) == everything[:8]
    assert drawn(3) == drawn(3) != drawn(4)
    assert any(everything.index(ids) >= 30 for ids in drawn(3))


def test_a_damaged_store_is_told_and_made_again(
    opened: Any, tokenizer: Any, made: list[int], tmp_path: Path, notes: list[str]
) -> None:
    before = list(iter(opened().samples(tokenizer)))
    for name in ("ids.bin", "learned.bin", "ends.bin", "complete.json"):
        len(opened().samples(tokenizer))
        (file,) = (tmp_path / "data" / "samples").rglob(name)
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        table = opened().samples(tokenizer)
        assert [table[i] for i in range(len(table))] == before, name
        assert notes == ["What was tokenized of many.json is damaged: it is tokenized again."], name
        notes.clear()


def test_a_users_function_is_not_trusted_to_be_the_same_next_time(
    options: Any, rows: Any, tokenizer: Any, made: list[int], tmp_path: Path
) -> None:
    script = tmp_path / "mine.py"
    file = rows("f.json", [{"phrase": "x"}])
    for text in ("a", "b"):
        script.write_text(f"def ask(row):\n    return row['phrase'] + '{text}'\n")
        top = {"user_script": str(script)}
        source = open_huggingface(
            options(file, text_formatting_func="ask", top=top), DataContext(tmp_path / "data")
        )
        assert tokenizer.decode(source.samples(tokenizer)[0].input_ids).startswith(f"<s>x{text}")
    assert made == [1, 1]
