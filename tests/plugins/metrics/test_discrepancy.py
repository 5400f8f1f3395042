"""Models of any two formats are compared by what they give for the same inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pytest

from modelpress.api import Artifact, PassContext, UserError
from modelpress_plugins.metrics.config import DiscrepancyOptions
from modelpress_plugins.metrics.discrepancy import discrepancy
from modelpress_plugins.tensor_model import TensorInput

DRAW = np.random.default_rng(0)
TABLE = DRAW.standard_normal((20, 20)).astype(np.float32)


class Tokenizer:
    all_special_ids = (0,)

    def __len__(self) -> int:
        return len(TABLE)


class Text:
    """A language model: the logits of each id stand in a table. wide: with a vocabulary that is padded."""

    context_length = 8
    tokenizer = Tokenizer()

    def __init__(self, table: np.ndarray[Any, Any], wide: int = 0) -> None:
        self.table = np.pad(table, ((0, 0), (0, wide)))

    def logits(self, ids: Sequence[int]) -> np.ndarray[Any, Any]:
        return cast("np.ndarray[Any, Any]", self.table[list(ids)])

    def close(self) -> None: ...


class Part:
    """A graph that looks ids up, and gives its cache beside."""

    name = "model.onnx"
    outputs = ("present", "logits")

    def __init__(self, table: np.ndarray[Any, Any], *more: str) -> None:
        self.table = table
        self.inputs = [TensorInput(name, "int64", ("batch", "length")) for name in ("input_ids", *more)]

    def run(self, feed: Mapping[str, np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        assert set(feed) == {value.name for value in self.inputs}
        return [np.zeros(3), self.table[feed["input_ids"]]]

    def numpy_type(self, dtype: str) -> np.dtype[Any]:
        return np.dtype(dtype)

    def made_inputs(self, shapes: Mapping[str, Sequence[int]], seed: int) -> dict[str, np.ndarray[Any, Any]]:
        ids = np.random.default_rng(seed).integers(1, 20, (1, 5))
        return {value.name: ids if value.name == "input_ids" else np.ones_like(ids) for value in self.inputs}


class Arrays:
    def __init__(self, *parts: Part) -> None:
        self.parts = parts

    def parts_on(self, execution_provider: str) -> Sequence[Part]:
        return self.parts

    def close(self) -> None: ...


class Context:
    """What the metric asks for: two models, by the format of each."""

    seed = 0
    accelerator = type("Here", (), {"execution_provider": "CPUExecutionProvider"})

    def __init__(self, source: object, model: object) -> None:
        self.models = {"source": source, "model": model}
        self.input_model = Artifact(cast(Any, None), "source", "")

    def load(self, model: Artifact) -> object:
        return self.models[model.format]


def found(source: object, model: object) -> Mapping[str, float]:
    context = cast(PassContext, Context(source, model))
    return discrepancy(Artifact(cast(Any, None), "model", ""), DiscrepancyOptions(), context)


@pytest.fixture(params=["text", "padded", "graph", "graph with a mask"])
def other(request: pytest.FixtureRequest) -> object:
    return {
        "text": Text(TABLE), "padded": Text(TABLE, 4), "graph": Arrays(Part(TABLE)),
        "graph with a mask": Arrays(Part(TABLE, "attention_mask")),
    }[request.param]  # fmt: skip


@pytest.mark.parametrize("source", [Text(TABLE), Arrays(Part(TABLE))], ids=["text", "graph"])
def test_equal_models_are_equal_whatever_their_format(source: object, other: object) -> None:
    told = found(source, other)
    assert (told["discrepancy_largest"], told["discrepancy_top_1"]) == (0, 1)
    assert told["discrepancy_cosine"] == pytest.approx(1)


def test_others_are_not() -> None:
    told = found(Text(TABLE), Arrays(Part(TABLE + 1)))
    assert told["discrepancy_largest"] == pytest.approx(1, abs=1e-5)


def test_two_graphs_are_not_one() -> None:
    with pytest.raises(UserError, match="The model has 2 graphs, and the input model 1"):
        found(Arrays(Part(TABLE)), Arrays(Part(TABLE), Part(TABLE)))


def test_a_model_that_takes_neither_arrays_nor_text_is_told() -> None:
    with pytest.raises(UserError, match="format source takes neither arrays nor text"):
        found(type("Thing", (), {"close": lambda self: None})(), Text(TABLE))
