"""Chats as people have them: any template, any number of turns, several ways of writing them down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelpress.api import DataContext, UserError
from modelpress_plugins.huggingface.data_checks import describe_huggingface
from modelpress_plugins.huggingface.data_config import HuggingfaceOptions
from modelpress_plugins.huggingface.source import open_huggingface

PHI3 = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)
"""As in Phi-3-mini: the whole text ends with the end token, so no chat begins a longer one."""
THINKS = (  # thoughts of earlier answers are left out, as in Qwen 3
    "{% for m in messages %}[{{ m['role'] }}]"
    "{% if m['role'] == 'assistant' and loop.last %}<think></think>{% endif %}"
    "{{ m['content'] }}[/]{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)
ASKS_FOR_A_THOUGHT = (
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}[/]{% endfor %}"
    "{% if add_generation_prompt %}[assistant]<think>{% endif %}"
)
COUNTS = "{{ messages | length }}{% for m in messages %}[{{ m['content'] }}]{% endfor %}"


def turns(*contents: str, first: str = "user") -> list[dict[str, str]]:
    roles = ("user", "assistant") if first == "user" else ("assistant", "user")
    return [{"role": roles[i % 2], "content": content} for i, content in enumerate(contents)]


@pytest.fixture
def opened(tmp_path: Path, options: Any, rows: Any) -> Any:
    """Opened as a worker does: options travel there whole, and no longer tell which of them were written."""

    def make(*given: dict[str, Any], **pre: Any) -> Any:
        written = options(rows("chat.json", list(given)), **pre)
        return open_huggingface(HuggingfaceOptions.parse(written.canonical()), DataContext(tmp_path / "data"))

    return make


def learned(source: Any, tokenizer: Any) -> list[list[str]]:
    """What the loss is taken on, piece by piece, for each text."""
    return [[p.text for p in pieces if p.learned] for pieces in source.texts(tokenizer)]


def whole(source: Any, tokenizer: Any) -> list[str]:
    return ["".join(p.text for p in pieces) for pieces in source.texts(tokenizer)]


CHAT = {"messages": turns("hi", "hello", "sad?", "joy")}


def test_a_template_that_closes_the_text_learns_every_answer(opened: Any, tokenizer: Any) -> None:
    source = opened(CHAT, chat_template=PHI3, completion_only=True)
    assert learned(source, tokenizer) == [["hello<|end|>\n", "joy<|end|>\n</s>"]]
    assert whole(source, tokenizer) == [
        tokenizer.apply_chat_template(CHAT["messages"], chat_template=PHI3, tokenize=False)
    ]


@pytest.mark.parametrize(
    ("template", "texts", "answers"),
    [
        (
            THINKS,
            ["[user]hi[/][assistant]<think></think>hello[/]",
             "[user]hi[/][assistant]hello[/][user]sad?[/][assistant]<think></think>joy[/]"],
            [["<think></think>hello[/]"], ["<think></think>joy[/]"]],
        ),
        (
            ASKS_FOR_A_THOUGHT,
            ["[user]hi[/][assistant]hello[/]",
             "[user]hi[/][assistant]hello[/][user]sad?[/][assistant]joy[/]"],
            [["hello[/]"], ["joy[/]"]],
        ),
        (COUNTS, ["2[hi][hello]", "4[hi][hello][sad?][joy]"], [["[hello]"], ["[joy]"]]),
    ],
)  # fmt: skip
def test_a_template_that_rewrites_earlier_turns_gives_one_text_for_each_answer(
    opened: Any, tokenizer: Any, template: str, texts: list[str], answers: list[list[str]]
) -> None:
    source = opened(CHAT, chat_template=template, completion_only=True)
    found = learned(source, tokenizer)
    assert whole(source, tokenizer) == texts
    assert [[a.strip("[") for a in f] for f in found] == [[a.strip("[") for a in f] for f in answers]


def test_a_chat_may_begin_with_an_answer(opened: Any, tokenizer: Any) -> None:
    chat = {"messages": turns("Welcome!", "hi", "hello", first="assistant")}
    assert learned(opened(chat, chat_template=PHI3, completion_only=True), tokenizer) == [
        ["Welcome!<|end|>\n", "hello<|end|>\n</s>"]
    ]


def test_a_templates_own_error_names_file_and_row(opened: Any, tokenizer: Any) -> None:
    refuse = "{{ raise_exception('System role not supported') }}"
    template = "{% if messages[0]['role'] == 'system' %}" + refuse + "{% endif %}"
    chat = {"messages": [{"role": "system", "content": "s"}, *turns("hi", "hello")]}
    with pytest.raises(UserError, match=r"Row 1 of chat\.json: .*System role not supported"):
        whole(opened(chat, chat_template=template), tokenizer)


TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


@pytest.mark.parametrize("tools", [TOOLS, json.dumps(TOOLS)])
def test_tools_reach_the_template(opened: Any, tokenizer: Any, tools: Any) -> None:
    template = "{% for t in tools or [] %}<{{ t['function']['name'] }}>{% endfor %}" + PHI3
    (text,) = whole(opened({**CHAT, "tools": tools}, chat_template=template), tokenizer)
    assert text.startswith("<weather>")


def test_tools_that_the_template_would_drop_are_refused(opened: Any, tokenizer: Any) -> None:
    with pytest.raises(UserError, match="no place for them"):
        whole(opened({**CHAT, "tools": TOOLS}, chat_template=PHI3), tokenizer)
    assert whole(opened({**CHAT, "tools": []}, chat_template=PHI3), tokenizer)


SHAREGPT = {"conversations": [{"from": "human", "value": "I lost it"}, {"from": "gpt", "value": "sad"}]}


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (CHAT, "<|user|>\nhi<|end|>\n<|assistant|>\nhello"),
        (SHAREGPT, "<|user|>\nI lost it<|end|>\n<|assistant|>\nsad<|end|>\n"),
        ({"instruction": "Add.", "input": "2+2", "output": "4"}, "Below is an instruction"),
        ({"prompt": "2+2=", "completion": "4"}, "2+2=4"),
        ({"prompt": turns("hi"), "completion": turns("hello", first="assistant")}, "<|user|>\nhi<|end|>\n"),
        ({"text": "plain", "messages": []}, "plain"),
    ],
)
def test_known_forms_are_recognized(opened: Any, tokenizer: Any, row: dict[str, Any], text: str) -> None:
    assert whole(opened(row), tokenizer)[0].removeprefix("<s>").startswith(text)


def test_the_plan_tells_what_the_data_was_taken_for(options: Any, rows: Any, told: Any) -> None:
    describe_huggingface(options(rows("s.json", [SHAREGPT])), told)
    assert told.text == ""
    assert "ShareGPT's form" in told.notes[0]


def test_an_unknown_speaker_is_told(opened: Any, tokenizer: Any) -> None:
    row = {"conversations": [{"from": "narrator", "value": "x"}]}
    with pytest.raises(UserError, match=r"message 1 of 'conversations' is from 'narrator'"):
        whole(opened(row), tokenizer)


def test_a_template_by_name_and_a_text_that_is_none(
    opened: Any, tokenizer: Any, options: Any, rows: Any, told: Any
) -> None:
    (text,) = whole(opened(CHAT, chat_template="chatml"), tokenizer)
    assert text.startswith("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nhello")
    describe_huggingface(options(rows("s.json", [CHAT]), chat_template="chatlm"), told)
    assert "'chatlm' is no chat template" in told.text


@pytest.mark.parametrize("name", ["mine.jinja", "chatlm", "tokenizer_config.json"])
def test_a_template_in_a_file_is_read(
    opened: Any, tokenizer: Any, options: Any, rows: Any, told: Any, tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    file.write_text(json.dumps({"chat_template": PHI3}) if name.endswith(".json") else PHI3)
    assert whole(opened(CHAT, chat_template=str(file)), tokenizer) == whole(
        opened(CHAT, chat_template=PHI3), tokenizer
    )
    describe_huggingface(options(rows("s.json", [CHAT]), chat_template=str(file)), told)
    assert told.problems == []


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("plain.txt", b"hello", "plain.txt holds no chat template"),
        ("binary.jinja", b"\xff\xfe{{ x }}", "binary.jinja is not UTF-8 text"),
        ("config.json", b'{"a": "{{ x }}"}', "no text under 'chat_template'"),
        ("cut.json", b'{"chat_template": "{{ x', "cut.json is not valid JSON"),
    ],
)
def test_a_file_with_no_template_is_told(
    options: Any, rows: Any, told: Any, tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    (tmp_path / name).write_bytes(content)
    describe_huggingface(options(rows("s.json", [CHAT]), chat_template=str(tmp_path / name)), told)
    assert expected in told.text
