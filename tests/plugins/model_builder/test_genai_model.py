"""A TextModel over onnxruntime-genai."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from modelpress.api import Artifact, PassError, Sampling, UserError
from modelpress_plugins.model_builder.genai import GenAIModel, load


@pytest.fixture
def model(fp32_folder: Path) -> Iterator[GenAIModel]:
    opened = load(Artifact(fp32_folder, "ort-genai", "key"), "cpu")
    yield opened
    opened.close()


def prompts(count: int) -> list[list[int]]:
    draw = random.Random(0)
    return [[1, *(draw.randrange(3, 270) for _ in range(draw.randrange(1, 12)))] for _ in range(count)]


def answer(model: GenAIModel, prompt: list[int]) -> list[int]:
    return [i for i in model.generate(prompt, 12) if i not in model.eos_ids]


def test_a_batch_answers_as_each_prompt_alone(model: GenAIModel) -> None:
    tricky = [[1, 7, 2], [1, 2], [5, 2], [2, 7, 9], [7, 2, 9]]  # 2 is the pad id
    asked = prompts(16) + tricky
    assert model.generate_batch(asked, 12) == [answer(model, prompt) for prompt in asked]


def test_generation_follows_the_logits(model: GenAIModel) -> None:
    prompt = prompts(1)[0]
    new = list(model.generate(prompt, 6))
    logits = model.logits([*prompt, *new])
    assert logits.argmax(-1)[len(prompt) - 1 : -1].tolist() == new


def test_ids_one_by_one_give_the_logits_of_all_at_once(model: GenAIModel) -> None:
    ids = prompts(1)[0]
    np.testing.assert_allclose(model.logits_in_steps(ids, 2), model.logits(ids), atol=1e-4)


def test_generation_ends_at_the_context(model: GenAIModel) -> None:
    assert model.context_length == 256
    assert len(list(model.generate([5] * 250, 100))) <= 6


def test_a_prompt_that_fills_the_context_is_refused(model: GenAIModel) -> None:
    with pytest.raises(UserError, match="256"):
        list(model.generate([5] * 256, 1))
    with pytest.raises(UserError, match="empty"):
        model.generate_batch([[5], []], 1)


def test_an_answer_comes_with_the_logits_that_chose_it(model: GenAIModel) -> None:
    ids, logits = model.answer_in_steps([1, 5, 6], 4)
    assert ids[:3] == [1, 5, 6]
    assert len(ids) == len(logits) == 7
    np.testing.assert_array_equal(logits, model.logits_in_steps(ids, 3))
    assert ids[3:] == logits[2:-1].argmax(-1).tolist()
    whole, _ = model.answer_in_steps([1] * (model.context_length - 2), 4)
    assert len(whole) == model.context_length


def test_a_closed_model_says_so(model: GenAIModel) -> None:
    model.close()
    with pytest.raises(PassError, match="closed"):
        model.logits([1, 2])


def test_drawn_answers_are_those_of_the_seed(model: GenAIModel) -> None:
    def drawn(**told: float) -> list[int]:
        return list(model.generate([1, 5, 6], 12, Sampling(**told)))

    greedy = list(model.generate([1, 5, 6], 12))
    assert drawn(temperature=2.0, seed=3) == drawn(temperature=2.0, seed=3)
    assert len({tuple(drawn(temperature=2.0, seed=seed)) for seed in range(5)}) > 2
    assert drawn(top_k=1, seed=3) == greedy
    assert drawn(temperature=1e-3, seed=3) == greedy
    assert list(model.generate([1, 5, 6], 12)) == greedy
