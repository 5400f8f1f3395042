"""Where prompts end and answers begin in ids, for tokenizers of every kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizer, PreTrainedTokenizerFast

from modelpress.api import NO_LOSS, DataContext, Sample
from modelpress_plugins.hf.ids import encode_prompt
from modelpress_plugins.huggingface.source import open_huggingface

TEXTS = ["The tone is: sad", "The tone is: joy", "it is a sad sad tone", "what a joy it is", "who is it"] * 8
_SPECIAL = ["<unk>", "<s>", "</s>"]
_BYTES = [f"<0x{i:02X}>" for i in range(256)]


def _trained(model: Any, trainer: Any, **parts: Any) -> Tokenizer:
    made = Tokenizer(model)
    for name, part in parts.items():
        setattr(made, name, part)
    made.train_from_iterator(TEXTS, trainer)
    return made


def _bytes() -> Tokenizer:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return _trained(
        models.BPE(),
        trainers.BpeTrainer(vocab_size=400, special_tokens=_SPECIAL, initial_alphabet=alphabet),
        pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoder=decoders.ByteLevel(),
    )


def _llama() -> Tokenizer:
    """As sentencepiece's BPE became a fast tokenizer: a blank before every text, none in the middle of it."""
    return _trained(
        models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True),
        trainers.BpeTrainer(vocab_size=500, special_tokens=[*_SPECIAL, *_BYTES]),
        normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
        decoder=decoders.Sequence(
            [
                decoders.Replace("▁", " "),
                decoders.ByteFallback(),
                decoders.Fuse(),
                decoders.Strip(content=" ", left=1),
            ]
        ),
    )


def _unigram() -> Tokenizer:
    return _trained(
        models.Unigram(),
        trainers.UnigramTrainer(vocab_size=120, special_tokens=_SPECIAL, unk_token="<unk>"),
        pre_tokenizer=pre_tokenizers.Metaspace(),
        decoder=decoders.Metaspace(),
    )


def _pieces() -> Tokenizer:
    return _trained(
        models.WordPiece(unk_token="<unk>"),
        trainers.WordPieceTrainer(vocab_size=200, special_tokens=_SPECIAL),
        pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
        decoder=decoders.WordPiece(),
    )


class Slow(PreTrainedTokenizer):
    """In Python, without offsets: some words are one token with the blank before them."""

    def __init__(self, **given: Any) -> None:
        self._words = [*_SPECIAL, " sad", " joy", " is", *map(chr, range(32, 127)), "\n"]
        super().__init__(bos_token="<s>", eos_token="</s>", unk_token="<unk>", **given)

    @property
    def vocab_size(self) -> int:
        return len(self._words)

    def get_vocab(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self._words)}

    def _tokenize(self, text: str, **_: Any) -> Iterator[str]:
        while text:
            word = next((w for w in self._words[3:6] if text.startswith(w)), text[0])
            yield word
            text = text[len(word) :]

    def _convert_token_to_id(self, token: str) -> int:
        return self.get_vocab().get(token, 0)

    def _convert_id_to_token(self, index: int) -> str:
        return self._words[index]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return "".join(tokens)


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "bytes": _bytes,
    "llama": _llama,
    "unigram": _unigram,
    "pieces": _pieces,
}


@pytest.fixture(params=[*KINDS, "slow"], scope="module")
def kind(request: pytest.FixtureRequest) -> Any:
    if request.param == "slow":
        return Slow()
    made = KINDS[request.param]()
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.fixture
def opened(tmp_path: Path, options: Any) -> Callable[..., Any]:
    def make(rows: list[dict[str, Any]], told: list[str], **given: Any) -> Any:
        file = tmp_path / "rows.json"
        file.write_text(json.dumps(rows), encoding="utf-8")
        return open_huggingface(options(file, **given), DataContext(tmp_path / "data", told.append))

    return make


def _text(tokenizer: Any, sample: Sample) -> str:
    return str(
        tokenizer.decode(sample.input_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    )


@pytest.mark.parametrize("between", ["\n", " ", ": ", "", "  "])
def test_the_prompt_is_learned_from_as_it_is_asked_and_the_text_is_whole(
    kind: Any, opened: Any, between: str
) -> None:
    rows = [{"q": "who is it", "a": "sad"}, {"q": "The tone is:", "a": "joy it is"}]
    source = opened(rows, [], text_template=f"{{q}}{between}{{a}}", completion_only=True)
    for sample, exchange in zip(source.samples(kind), source.exchanges(), strict=True):
        whole = kind.decode(encode_prompt(kind, exchange.prompt + exchange.answer), skip_special_tokens=True)
        assert _text(kind, sample) == whole
        first = next(i for i, label in enumerate(sample.labels) if label != NO_LOSS)
        assert sample.labels[first:] == sample.input_ids[first:]
        asked = encode_prompt(kind, exchange.prompt)
        # Wordpieces: no piece goes on with a word that ended.
        inside_a_word = not between and "##" in str(kind.get_vocab())
        assert sample.input_ids[:first] == asked or inside_a_word


def test_a_border_inside_a_token_is_told_once(kind: Any, opened: Any) -> None:
    told: list[str] = []
    rows = [{"q": "The tone is", "a": "sad"}] * 3
    samples = opened(rows, told, text_template="{q}: {a}", completion_only=True).samples(kind)
    assert len(samples) == 3
    asked = encode_prompt(kind, "The tone is: ")
    assert len(told) == int(encode_prompt(kind, "The tone is: sad")[: len(asked)] != asked)
    if told:
        assert "as one token (" in told[0]
        assert "ends without a blank" in told[0]


def test_later_prompts_of_a_chat_are_learned_from_as_they_are_asked(kind: Any, opened: Any) -> None:
    """Written without marks between turns, where a token straddles a border: one sample for each answer."""
    template = "{% for m in messages %}{{ m.content + (' ', '\n')[loop.index0 % 2] }}{% endfor %}"
    turns = ["who is it", "sad", "what a joy", "joy"]
    messages = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]
    source = opened([{"messages": messages}], [], chat_template=template, completion_only=True)
    found = []
    for sample in source.samples(kind):
        for i in range(1, len(sample.labels)):
            if sample.labels[i] != NO_LOSS and sample.labels[i - 1] == NO_LOSS:
                found.append(sample.input_ids[:i])
    prompts = ["who is it ", "who is it sad\nwhat a joy "]
    assert found == [encode_prompt(kind, prompt) for prompt in prompts]


def test_a_border_that_falls_between_tokens_costs_no_second_sample(opened: Any) -> None:
    rows = [{"messages": [{"role": r, "content": c} for r, c in (("user", "hi"), ("assistant", "sad")) * 2]}]
    template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    (sample,) = opened(rows, [], chat_template=template, completion_only=True).samples(Slow())
    assert sum(label != NO_LOSS for label in sample.labels) == 2 * 3 + 1
