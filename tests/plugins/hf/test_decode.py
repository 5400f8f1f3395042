"""Ids become text as they come, whole characters only."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from modelpress_plugins.hf.decode import decode_stream


@pytest.fixture(scope="module")
def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One id a byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"</s>": 0, **{letter: i + 1 for i, letter in enumerate(alphabet)}}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")


@pytest.mark.parametrize("text", ["joy , and sad.", "naïve — 日本語 🙂 end", "a\n\n  b", "🙂", ""])
def test_the_pieces_joined_are_the_text(byte_tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    ids = byte_tokenizer(text)["input_ids"]
    pieces = list(decode_stream(byte_tokenizer, ids))
    assert "".join(pieces) == text
    assert not any("�" in piece for piece in pieces)


def test_text_comes_as_soon_as_a_character_is_whole(byte_tokenizer: PreTrainedTokenizerFast) -> None:
    ids = byte_tokenizer("a🙂b")["input_ids"]
    assert list(decode_stream(byte_tokenizer, ids)) == ["a", "🙂", "b"]


def test_a_character_that_never_becomes_whole_is_not_lost(byte_tokenizer: PreTrainedTokenizerFast) -> None:
    ids = byte_tokenizer("a🙂")["input_ids"][:-1]
    assert "".join(decode_stream(byte_tokenizer, ids)) == byte_tokenizer.decode(ids)


def test_special_ids_give_no_text(byte_tokenizer: PreTrainedTokenizerFast) -> None:
    ids = [*byte_tokenizer("ab")["input_ids"], 0]
    assert list(decode_stream(byte_tokenizer, ids)) == ["a", "b"]
