"""A chat template that wants all time or memory is stopped; one that writes a chat is not changed by it."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest
from transformers import AutoTokenizer

from modelpress.api import UserError
from modelpress_plugins.hf import limits
from modelpress_plugins.hf.chat import render_chat

MESSAGES = [{"role": "user", "content": "Who are you?"}]
BOMBS = {
    "text": "{{ 'x' * 10**11 }}",
    "power": "{{ 9 ** (9 ** 9) }}",
    "product": "{% set x = 10**1000 %}{{ x * x }}",
    "rounding": "{{ 1.5 | round(10**9, 'floor') }}",
    "range": "{% for i in range(10**9) %}x{% endfor %}",
    "loops": "{% for i in range(9999) %}{% for j in range(9999) %}{% for k in range(9999) %}{% endfor %}"
    "{% endfor %}{% endfor %}",
    "output": "{% for i in range(9999) %}{% for j in range(9999) %}{{ messages[0].content }}{% endfor %}"
    "{% endfor %}",
    "doubling": "{% set s = namespace(x='x') %}{% for i in range(40) %}{% set s.x = s.x ~ s.x %}{% endfor %}"
    "{{ s.x }}",
    "width": "{{ 'x'.ljust(10**11) }}",
    "format": "{{ '%100000000000d' | format(1) }}",
    "filter": "{{ 'x' | center(10**11) }}",
    "replace": "{% set a = 'a' * 1000000 %}{{ a | replace('a', a) }}",
    "list": "{{ [0] * 10**10 }}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
}


@pytest.fixture(scope="module")
def tokenizer(emotions_model: Path):
    return AutoTokenizer.from_pretrained(emotions_model)


@pytest.mark.parametrize("name", BOMBS)
def test_a_template_that_takes_too_much_is_refused(tokenizer, name: str, monkeypatch) -> None:
    monkeypatch.setattr(limits, "SECONDS", 0.5)
    monkeypatch.setattr(limits, "MEMORY", 2**28)
    before, started = psutil.Process().memory_info().rss, time.monotonic()
    with pytest.raises(UserError, match="The chat template"):
        render_chat(tokenizer, MESSAGES, template=BOMBS[name])
    assert time.monotonic() - started < 8
    assert psutil.Process().memory_info().rss - before < 2**28
    assert render_chat(tokenizer, MESSAGES, template="{{ messages[0].content }}") == "Who are you?"


def test_a_template_writes_what_transformers_writes(tokenizer) -> None:
    template = (
        "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>\n{{ m.content | trim }} {{ m | tojson }}"
        " {{ 2 * 3 }} {{ '-' * 3 }} {{ 1.26 | round(1) }} {{ 2 ** 10 }}\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    expected = tokenizer.apply_chat_template(
        MESSAGES, chat_template=template, tokenize=False, add_generation_prompt=True
    )
    assert render_chat(tokenizer, MESSAGES, template=template, ask=True) == expected


def test_the_bound_costs_little(tokenizer) -> None:
    """Each row of a data set is rendered a few times."""
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    started = time.monotonic()
    for _ in range(500):
        render_chat(tokenizer, MESSAGES, template=template)
    assert time.monotonic() - started < 2
