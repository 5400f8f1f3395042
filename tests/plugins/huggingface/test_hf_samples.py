"""What rows become: ids, labels, strategies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelpress.api import DataContext, UserError
from modelpress_plugins.hf.ids import encode_prompt
from modelpress_plugins.huggingface.source import open_huggingface

TEMPLATE = "### Text: {phrase}\n### The tone is:\n{tone}"


@pytest.fixture
def samples(tmp_path: Path, options: Any, tokenizer: Any) -> Any:
    def make(file: Path, **given: Any) -> list[Any]:
        return list(
            open_huggingface(options(file, **given), DataContext(tmp_path / "data")).samples(tokenizer)
        )

    return make


@pytest.fixture
def texts(tmp_path: Path) -> Any:
    def make(*lines: str) -> Path:
        file = tmp_path / "text.txt"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return file

    return make


def learned(sample: Any, tokenizer: Any) -> str:
    return tokenizer.decode([label for label in sample.labels if label != -100])


def test_with_completion_only_the_loss_covers_the_answer_and_the_end(
    samples: Any, tones: Path, tokenizer: Any
) -> None:
    first = samples(tones, text_template=TEMPLATE, completion_only=True)[0]
    assert learned(first, tokenizer) == "sad</s>"
    assert first.input_ids[0] == tokenizer.bos_token_id


def test_a_prompt_has_the_ids_in_training_that_it_has_when_it_is_asked(
    samples: Any, tones: Path, tokenizer: Any, tmp_path: Path, options: Any
) -> None:
    config = options(tones, text_template="{phrase} is {tone}", completion_only=True)
    source = open_huggingface(config, DataContext(tmp_path / "data"))
    for sample, exchange in zip(source.samples(tokenizer), source.exchanges(), strict=True):
        prompt = encode_prompt(tokenizer, exchange.prompt)
        assert sample.input_ids[: len(prompt)] == prompt
        assert sample.labels[: len(prompt)] == [-100] * len(prompt)
        assert sample.labels[len(prompt)] != -100
        assert (
            tokenizer.decode(sample.input_ids, skip_special_tokens=True) == exchange.prompt + exchange.answer
        )


def test_without_completion_only_the_loss_covers_everything(samples: Any, tones: Path) -> None:
    for sample in samples(tones, text_template=TEMPLATE, strategy="line-by-line"):
        assert sample.labels == sample.input_ids


def test_a_tokenizer_without_begin_token_gets_none(
    options: Any, tones: Path, tmp_path: Path, tokenizer: Any
) -> None:
    from transformers import PreTrainedTokenizerFast

    plain = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, eos_token="</s>")
    plain.backend_tokenizer.post_processor = None
    source = open_huggingface(
        options(tones, text_cols="tone", strategy="line-by-line"), DataContext(tmp_path / "data")
    )
    first = next(iter(source.samples(plain)))
    assert plain.decode(first.input_ids) == "sad</s>"


def test_join_cuts_one_stream_into_equal_parts(samples: Any, tones: Path, tokenizer: Any) -> None:
    made = samples(tones, text_cols="phrase", max_seq_len=16)
    assert [len(s.input_ids) for s in made[:-1]] == [16] * (len(made) - 1)
    stream = [token for s in made for token in s.input_ids]
    assert tokenizer.decode(stream).startswith("<s>phrase number 0</s><s>phrase number 1</s>")
    assert stream.count(tokenizer.eos_token_id) == 10


def test_join_without_special_tokens_puts_an_empty_line_between_rows(
    samples: Any, tones: Path, tokenizer: Any
) -> None:
    (one,) = samples(tones, text_cols="tone", add_special_tokens=False, max_seq_len=1000)
    assert tokenizer.decode(one.input_ids).startswith("sad\n\njoy\n\nsad")


def test_the_joiner_stands_between_rows(samples: Any, tones: Path, tokenizer: Any) -> None:
    (one,) = samples(tones, text_cols="tone", joiner=" | ", add_special_tokens=False, max_seq_len=1000)
    assert tokenizer.decode(one.input_ids).startswith("sad | joy | sad")


def test_drop_short_sequences_leaves_only_full_ones(samples: Any, tones: Path) -> None:
    made = samples(tones, text_cols="phrase", max_seq_len=16, drop_short_sequences=True)
    assert {len(s.input_ids) for s in made} == {16}


def test_sliding_windows_take_the_loss_on_every_token_once(samples: Any, tones: Path) -> None:
    plain = samples(tones, text_cols="phrase", max_seq_len=1000)[0].input_ids
    made = samples(tones, text_cols="phrase", strategy="join-sliding-window", max_seq_len=16, stride=5)
    assert [label for s in made for label in s.labels if label != -100] == plain
    assert made[1].input_ids == plain[5:21]
    assert made[1].labels[:11] == [-100] * 11


def test_a_packed_row_is_never_parted_from_its_answer(samples: Any, tones: Path, tokenizer: Any) -> None:
    made = samples(tones, text_template=TEMPLATE, completion_only=True, strategy="join", max_seq_len=100)
    assert 1 < len(made) < 10
    for sample in made:
        assert len(sample.input_ids) <= 100
        assert sample.input_ids[0] == tokenizer.bos_token_id
        assert sample.input_ids[-1] == tokenizer.eos_token_id
    assert "".join(learned(s, tokenizer) for s in made) == "sad</s>joy</s>" * 4 + "sad</s>sad</s>"


def test_a_long_prompt_is_cut_at_its_beginning_so_that_the_answer_stays(
    samples: Any, tones: Path, tokenizer: Any
) -> None:
    first = samples(tones, text_template=TEMPLATE, completion_only=True, max_seq_len=12)[0]
    assert len(first.input_ids) == 12
    assert first.input_ids[0] == tokenizer.bos_token_id
    assert learned(first, tokenizer) == "sad</s>"


def test_a_long_text_is_cut_at_its_end(samples: Any, tones: Path, tokenizer: Any) -> None:
    first = samples(tones, text_cols="phrase", strategy="line-by-line", max_seq_len=4)[0]
    assert first.input_ids == encode_prompt(tokenizer, "phrase number 0")[:4]


@pytest.mark.parametrize("strategy", ["line-by-line-random", "join-random"])
def test_random_strategies_depend_on_the_seed_alone(samples: Any, tones: Path, strategy: str) -> None:
    def first(seed: int) -> list[int]:
        made = samples(tones, text_cols="phrase", strategy=strategy, max_seq_len=64, random_seed=seed)
        return [token for s in made for token in s.input_ids]

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_max_samples_limits_the_samples(samples: Any, tones: Path) -> None:
    assert len(samples(tones, text_cols="phrase", strategy="line-by-line", max_samples=3)) == 3


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_has_no_label_and_no_attention(samples: Any, tones: Path, side: str) -> None:
    given = {"text_cols": "phrase", "strategy": "line-by-line", "max_seq_len": 40}
    plain = samples(tones, **given)[0]
    padded = samples(tones, pad_to_max_len=True, padding_side=side, **given)[0]
    blank = 40 - len(plain.input_ids)
    at = slice(0, blank) if side == "left" else slice(40 - blank, 40)
    assert padded.input_ids[at] == [0] * blank
    assert padded.labels[at] == [-100] * blank
    assert padded.attention_mask is not None
    assert padded.attention_mask[at] == [0] * blank
    assert sum(padded.attention_mask) == len(plain.input_ids)


def test_without_use_attention_mask_there_is_none(samples: Any, tones: Path) -> None:
    assert samples(tones, text_cols="phrase", use_attention_mask=False)[0].attention_mask is None


def test_rows_without_text_are_passed_over(samples: Any, texts: Any) -> None:
    assert len(samples(texts("one", "", "  ", "two"), strategy="line-by-line")) == 2


def test_samples_can_be_gone_through_twice(options: Any, tones: Path, tmp_path: Path, tokenizer: Any) -> None:
    made = open_huggingface(options(tones, text_cols="phrase"), DataContext(tmp_path / "data")).samples(
        tokenizer
    )
    assert list(made) == list(made) != []


def test_a_pair_takes_the_loss_on_its_output(samples: Any, rows: Any, tokenizer: Any) -> None:
    file = rows("pairs.json", [{"input": "2+2=", "output": "4"}])
    assert learned(samples(file, dataset_type="pair")[0], tokenizer) == "4</s>"
    whole = samples(file, dataset_type="pair", ignore_source_in_labels=False)[0]
    assert learned(whole, tokenizer) == "<s>2+2=4</s>"


def test_a_row_that_lacks_a_column_is_named(samples: Any, rows: Any) -> None:
    file = rows("rows.json", [{"a": "x", "b": "y"}, {"a": "x"}])
    with pytest.raises(UserError, match=r"Row 2 of rows.json has no 'b'"):
        samples(file, text_template="{a} {b}")


def test_a_row_with_a_list_for_text_is_named(samples: Any, rows: Any) -> None:
    file = rows("rows.json", [{"text": ["x"]}])
    with pytest.raises(UserError, match=r"Row 1 of rows.json: 'text' should be text, but is a list"):
        samples(file)


def test_a_row_without_an_answer_is_refused(samples: Any, rows: Any) -> None:
    file = rows("rows.json", [{"q": "x", "a": ""}])
    with pytest.raises(UserError, match=r"Row 1 of rows\.json has no answer"):
        samples(file, text_template="{q}: {a}", completion_only=True)
