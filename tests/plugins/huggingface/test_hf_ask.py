"""Asking a model: the prompt that it gets, and the answer as it comes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import pytest

from modelpress.api import Sampling
from modelpress.artifact import Artifact, Meta
from modelpress.errors import UserError
from modelpress_plugins.huggingface import ask
from modelpress_plugins.huggingface.conversation import Chat, fill

PHI3 = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}<|assistant|>"


BOS, EOS = "\x00", "\x01"


class Letters:
    """A tokenizer with an id per character; it opens each text with the begin token, 0."""

    chat_template: str | None = PHI3
    bos_token, bos_token_id = BOS, 0
    eos_token, eos_token_id = EOS, 1
    closes = False

    def __call__(
        self, texts: list[str], add_special_tokens: bool = True, **_: Any
    ) -> dict[str, list[list[int]]]:
        start, end = [0] * add_special_tokens, [1] * (add_special_tokens and self.closes)
        return {"input_ids": [[*start, *map(ord, text), *end] for text in texts]}

    def decode(self, ids: Sequence[int], **_: Any) -> str:
        return "".join(chr(id) for id in ids if id)

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        return "".join(f"<|{m['role']}|>{m['content']}<|end|>" for m in messages) + "<|assistant|>"


class Echo:
    """A model that answers with the prompt it got, so that a test sees it."""

    tokenizer = Letters()
    eos_ids = frozenset({1})
    context_length = 200
    closed = False
    asked: Sequence[int] = ()
    sampling: Sampling | None = None

    def generate(
        self, ids: Sequence[int], max_new_tokens: int, sampling: Sampling | None = None
    ) -> Iterator[int]:
        self.asked, self.sampling = ids, sampling
        yield from [*ids[1:], 1][:max_new_tokens]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Echo:
    """The model in every folder; one that was trained with a prompt template."""
    echo = Echo()
    artifact = Artifact(
        Path("m"), "hf-model", "", meta=Meta(prompt_template="### Text: {phrase}\n### Tone:\n")
    )
    monkeypatch.setattr(ask, "find_artifact", lambda folder, registry: artifact)
    monkeypatch.setattr(ask, "load_model", lambda folder, registry, device, *, trust_remote_code: echo)
    return echo


def test_the_phrase_is_put_into_the_template_that_the_model_was_trained_with(invoke, model: Echo) -> None:
    assert invoke("ask", "m", "I am {sad}").output == "### Text: I am {sad}\n### Tone:\n\n"
    assert model.closed


def test_the_phrase_may_come_from_standard_input(invoke, model: Echo) -> None:
    assert invoke("ask", "m", "--raw", input="one\ntwo\n").output == "one\ntwo\n"


def test_raw_leaves_the_template_out(invoke, model: Echo) -> None:
    assert invoke("ask", "m", "phrase", "--raw").output == "phrase\n"


def test_another_template_can_be_given(invoke, model: Echo) -> None:
    assert invoke("ask", "m", "x", "--prompt-template", 'Q {} {"a"}').output == 'Q x {"a"}\n'


CHAT = "<|system|>Be kind<|end|><|user|>hi<|end|><|assistant|>"


def test_a_chat_begins_as_it_does_in_training(invoke, model: Echo) -> None:
    # The template writes no begin token, the tokenizer puts one. Echo leaves it out.
    assert invoke("ask", "m", "hi", "--system", "Be kind").output == f"{CHAT}\n"


def test_a_chat_has_no_second_begin_token(invoke, model: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    written = Letters.apply_chat_template
    monkeypatch.setattr(Letters, "apply_chat_template", lambda *a, **b: BOS + written(*a, **b))
    invoke("ask", "m", "hi", "--system", "Be kind")
    assert model.asked[:2] == [0, ord("<")]


def test_a_tokenizer_that_closes_texts_leaves_the_prompt_open(invoke, model: Echo, monkeypatch) -> None:
    monkeypatch.setattr(Letters, "closes", True)
    for prompt in (("--raw",), ("--chat",)):
        invoke("ask", "m", "phrase", *prompt)
        assert model.asked[0] == 0
        assert 1 not in model.asked


def test_a_tokenizer_without_chat_template_is_told(invoke, model: Echo, monkeypatch) -> None:
    monkeypatch.setattr(Letters, "chat_template", None)
    with pytest.raises(UserError, match="no chat template"):
        invoke("ask", "m", "hi", "--chat")


def test_the_answer_ends_at_the_limit(invoke, model: Echo) -> None:
    assert invoke("ask", "m", "phrase", "--raw", "--max-new-tokens", "3").output == "phr\n"


def test_a_prompt_longer_than_the_context_is_told(invoke, model: Echo) -> None:
    with pytest.raises(UserError, match="201 tokens, and the model takes 200"):
        invoke("ask", "m", "x" * 200, "--raw")


@pytest.mark.parametrize("template", ["no place", "{a} and {b}"])
def test_a_template_needs_one_place(template: str) -> None:
    with pytest.raises(UserError, match="needs one placeholder"):
        fill(template, "phrase")


def test_the_prompt_can_be_taken_from_the_workflow_that_trained_the_model(invoke, model, tmp_path) -> None:
    workflow = {
        "input_model": {"type": "HfModel", "model_path": "m"},
        "data_configs": [
            {
                "name": "train",
                "type": "HuggingfaceContainer",
                "load_dataset_config": {"data_name": "json", "data_files": "x.json"},
                "pre_process_data_config": {"text_template": "Q: {question}\nA: {answer}"},
            }
        ],
        "passes": {"lora": {"type": "LoRA", "train_data_config": "train"}},
    }
    file = tmp_path / "w.json"
    file.write_text(json.dumps(workflow))
    assert invoke("ask", "m", "why?", "--workflow", str(file)).output == "Q: why?\nA: \n"


def test_each_line_of_a_pipe_is_a_turn_by_itself_in_a_template(invoke, model: Echo) -> None:
    asked = invoke("ask", "m", "--prompt-template", "Q {}", input="one\n\ntwo\r\n")
    assert asked.output == "Q one\nQ two\n"


def test_a_chat_from_a_pipe_remembers_its_turns(invoke, model: Echo) -> None:
    model.context_length = 500
    output = invoke("ask", "m", "--system", "S", input="a\nb\n").output.splitlines()
    first = "<|system|>S<|end|><|user|>a<|end|><|assistant|>"
    assert output == [first, f"{first}{first}<|end|><|user|>b<|end|><|assistant|>"]


def test_a_chat_that_fills_the_context_forgets_its_oldest_turn(invoke, model: Echo) -> None:
    output = invoke("ask", "m", "--chat", input="x" * 60 + "\nb\nc\n").output.splitlines()
    assert output[1] == "<|user|>b<|end|><|assistant|>"


def test_a_model_that_was_trained_without_a_template_is_asked_in_its_chat_template(
    invoke, model: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask, "find_artifact", lambda folder, registry: Artifact(Path("m"), "hf-model", ""))
    assert invoke("ask", "m", "hi").output == "<|user|>hi<|end|><|assistant|>\n"
    assert invoke("ask", "m", "hi", "--raw").output == "hi\n"
    monkeypatch.setattr(Letters, "chat_template", None)
    assert invoke("ask", "m", "hi").output == "hi\n"


def test_a_pipe_without_a_phrase_is_told(invoke, model: Echo) -> None:
    with pytest.raises(click.UsageError, match="empty"):
        invoke("ask", "m", input="\n \n")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), None),
        (("--temperature", "0", "--top-p", "0.5"), None),
        (("--seed", "7"), Sampling(seed=7)),
        (("--temperature", "0.5", "--top-p", "0.9", "--top-k", "3"), Sampling(0.5, 0.9, 3, 0)),
    ],
)
def test_answers_are_greedy_unless_drawing_is_asked_for(
    invoke, model: Echo, options: tuple[str, ...], expected: Sampling | None
) -> None:
    invoke("ask", "m", "hi", *options)
    assert model.sampling == expected


def test_what_is_no_share_or_temperature_is_refused(invoke, model: Echo) -> None:
    for wrong in (("--top-p", "0"), ("--top-p", "2"), ("--temperature", "-1"), ("--top-k", "0")):
        with pytest.raises(click.BadParameter):
            invoke("ask", "m", "hi", *wrong)


def test_the_system_message_stays_when_turns_are_forgotten() -> None:
    chat = Chat(Letters(), "S")  # type: ignore[arg-type]
    chat.answered("a", "b")
    assert chat.forget()
    assert not chat.forget()
    assert chat.prompt("c") == "<|system|>S<|end|><|user|>c<|end|><|assistant|>"
