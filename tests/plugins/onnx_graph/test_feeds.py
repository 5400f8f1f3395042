"""Rows of data become inputs of a graph, or it is told why not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from modelpress.api import Sample, UserError
from modelpress_plugins.onnx_graph.facts import ValueFacts
from modelpress_plugins.onnx_graph.feeds import Feed, Feeder
from modelpress_plugins.onnx_graph.inputs import numpy_type

PIXELS = ValueFacts("pixels", "float32", ("batch", 3, 8, 8))
IDS = ValueFacts("input_ids", "int64", ("b", "s"))
MASK = ValueFacts("attention_mask", "int64", ("b", "s"))


class Given:
    """Data with these rows; as text, two samples."""

    name = "given"
    prompt_template: str | None = None

    def __init__(self, *rows: object) -> None:
        self.rows = rows

    def records(self) -> Iterator[Any]:
        return iter(self.rows)

    def samples(self, tokenizer: object, limit: int | None = None, seed: int | None = None) -> list[Sample]:
        return [Sample([5, 6, 7], [5, 6, 7]), Sample([8], [8], [1])]


def feeds(data: Given, *inputs: ValueFacts) -> list[Feed]:
    return list(Feeder(inputs, numpy_type).from_data(data, lambda: None))  # type: ignore[arg-type]


def test_a_sample_becomes_a_batch_of_one() -> None:
    (feed,) = feeds(Given({"pixels": np.zeros((3, 8, 8)).tolist()}), PIXELS)
    assert feed["pixels"].shape == (1, 3, 8, 8)
    assert feed["pixels"].dtype == np.float32


def test_of_a_pair_the_inputs_count() -> None:
    (feed,) = feeds(Given(({"pixels": np.zeros((1, 3, 8, 8))}, "a label")), PIXELS)
    assert list(feed) == ["pixels"]


@pytest.mark.parametrize(("row", "told"), [
    ({"image": [0.0]}, "have the columns image; the model takes pixels"),
    ({"pixels": [[0.0, 1.0]]}, r"give pixels the shape \[1, 2\]; the model takes \['batch', 3, 8, 8\]"),
    ({"pixels": "cat.png"}, "give pixels as <U7; the model takes float32"),
    ("a line", "A row of the data is str, no mapping of inputs"),
])  # fmt: skip
def test_rows_that_do_not_fit_are_told(row: object, told: str) -> None:
    with pytest.raises(UserError, match=told):
        feeds(Given(row), PIXELS)


def test_fractions_are_no_ids() -> None:
    with pytest.raises(UserError, match="give input_ids as float64; the model takes int64"):
        feeds(Given({"input_ids": [0.5, 1.5]}), IDS)


def test_no_rows_at_all_are_told() -> None:
    with pytest.raises(UserError, match="The data given are empty"):
        feeds(Given(), PIXELS)


def test_what_follows_from_ids_is_made() -> None:
    past = ValueFacts("past_key_values.0.key", "float32", ("b", 2, "past", 4))
    positions = ValueFacts("position_ids", "int64", ("b", "s"))
    (feed,) = feeds(Given({"input_ids": [5, 6, 7]}), IDS, MASK, positions, past)
    assert feed["attention_mask"].tolist() == [[1, 1, 1]]
    assert feed["position_ids"].tolist() == [[0, 1, 2]]
    assert feed["past_key_values.0.key"].shape == (1, 2, 0, 4)


def test_text_is_tokenized_where_ids_are_taken() -> None:
    first, second = feeds(Given({"text": "a"}, {"text": "b"}), IDS, MASK)
    assert first["input_ids"].tolist() == [[5, 6, 7]]
    assert second["attention_mask"].tolist() == [[1]]


def test_text_is_cut_or_filled_up_for_a_graph_of_fixed_shape() -> None:
    fixed = [ValueFacts(name, "int64", (1, 2)) for name in ("input_ids", "attention_mask")]
    first, second = feeds(Given({"text": "a"}), *fixed)
    assert first["input_ids"].tolist() == [[5, 6]]
    assert (second["input_ids"].tolist(), second["attention_mask"].tolist()) == ([[8, 0]], [[1, 0]])
