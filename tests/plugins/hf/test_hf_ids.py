"""Training, measuring and asking see the same ids for the same prompt, whatever the tokenizer adds to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from modelpress.api import NO_LOSS, Artifact, DataContext
from modelpress_plugins.hf.ids import encode_prompt, encode_prompts, ends_with
from modelpress_plugins.huggingface import ask
from modelpress_plugins.huggingface.source import open_huggingface
from modelpress_plugins.metrics import accuracy
from modelpress_plugins.metrics.config import AccuracyOptions

CHAT = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }};{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
ADDED = {"nothing": "$A", "a begin": "<s> $A", "an end": "$A </s>", "both": "<s> $A </s>"}


@pytest.fixture(params=ADDED)
def added(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    """A tokenizer of characters that puts begin and end tokens around a text, or does not."""
    words = ["<s>", "</s>", *map(chr, range(32, 127)), "\n"]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=" "))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    made.post_processor = processors.TemplateProcessing(
        single=ADDED[request.param], special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", chat_template=CHAT
    )


class Recorder:
    """A TextModel that remembers what it was asked, and answers nothing."""

    eos_ids = frozenset({1})
    context_length = 500

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.asked: list[list[int]] = []

    def logits(self, ids: Sequence[int]) -> None: ...

    def generate(self, ids: Sequence[int], max_new_tokens: int) -> Iterator[int]:
        self.asked.append(list(ids))
        yield 1

    def generate_batch(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[list[int]]:
        self.asked += [list(prompt) for prompt in prompts]
        return [[] for _ in prompts]

    def close(self) -> None: ...


class Context:
    """A PassContext with a model that is open already and one data source."""

    def __init__(self, model: Recorder, source: Any) -> None:
        self._model, self._source = model, source

    def load(self, model: Artifact) -> Any:
        return self._model

    def data(self, role: str) -> Any:
        return self._source

    def progress(self, done: int, total: int, unit: str) -> None: ...


def test_the_prompt_has_the_same_ids_in_training_measuring_and_asking(
    added: PreTrainedTokenizerFast,
    rows: Callable[..., Path],
    options: Callable[..., Any],
    tmp_path: Path,
    invoke: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = rows("qa.json", [{"q": "what is it?", "a": "a joy"}])
    template = "Q: {q}\nA: "
    config = options(file, text_template=template + "{a}", completion_only=True)
    source = open_huggingface(config, DataContext(tmp_path))
    (sample,) = source.samples(added)
    trained = [i for i, label in zip(sample.input_ids, sample.labels, strict=True) if label == NO_LOSS]

    model = Recorder(added)
    accuracy.accuracy(Artifact(tmp_path, "x", ""), AccuracyOptions(), Context(model, source))
    monkeypatch.setattr(ask, "find_artifact", lambda folder, registry: Artifact(tmp_path, "hf-model", ""))
    monkeypatch.setattr(ask, "load_model", lambda folder, registry, device, *, trust_remote_code: model)
    invoke("ask", str(tmp_path), "what is it?", "--prompt-template", template)
    assert model.asked == [trained, trained]
    assert added.eos_token_id not in trained


def test_a_chat_has_the_same_ids_in_training_and_asking(
    added: PreTrainedTokenizerFast,
    rows: Callable[..., Path],
    options: Callable[..., Any],
    tmp_path: Path,
    invoke: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    file = rows("chat.json", [{"messages": messages}])
    source = open_huggingface(options(file, chat_template=True, completion_only=True), DataContext(tmp_path))
    (sample,) = source.samples(added)
    trained = [i for i, label in zip(sample.input_ids, sample.labels, strict=True) if label == NO_LOSS]

    model = Recorder(added)
    monkeypatch.setattr(ask, "find_artifact", lambda folder, registry: Artifact(tmp_path, "hf-model", ""))
    monkeypatch.setattr(ask, "load_model", lambda folder, registry, device, *, trust_remote_code: model)
    invoke("ask", str(tmp_path), "hi", "--chat")
    assert model.asked == [trained]


def test_a_begin_token_that_the_text_has_already_is_not_put_twice(added: PreTrainedTokenizerFast) -> None:
    assert encode_prompt(added, "<s>hi").count(0) == 1


def test_an_end_token_that_the_text_itself_has_stays(added: PreTrainedTokenizerFast) -> None:
    assert encode_prompt(added, "hi</s>")[-1] == added.eos_token_id


def test_without_special_tokens_nothing_is_added(added: PreTrainedTokenizerFast) -> None:
    (ids,) = encode_prompts(added, ["hi"], False)
    assert added.decode(ids) in ("hi", "h i")
    assert not ends_with(added.eos_token_id, ids)
    assert encode_prompts(added, [], True) == []
