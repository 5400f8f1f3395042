"""Data as a pass meets them: tokenized samples, prompts with answers, an opened data config."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

NO_LOSS = -100
"""The label of a token on which no loss is taken."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One tokenized training sample. labels has NO_LOSS where no loss is taken; same length as input_ids."""

    input_ids: list[int]
    labels: list[int]
    attention_mask: list[int] | None = None


@runtime_checkable
class SampleTable(Protocol):
    """Samples that are kept somewhere and taken by number, so that data of any size can be trained on.

    Each has a label after its first token.
    """

    @property
    def lengths(self) -> list[int]:
        """Tokens of each sample, without padding."""

    @property
    def highest_id(self) -> int:
        """The highest id of all samples."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample: ...

    def __iter__(self) -> Iterator[Sample]: ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """One prompt with the answer that is right, as text."""

    prompt: str
    answer: str


class DataSource(Protocol):
    """An opened data config.

    prompt_template: the text of a row up to the answer, with its `{column}` placeholders; None when rows
                     have no such form.
    """

    name: str
    prompt_template: str | None

    def records(self) -> Iterator[Mapping[str, Any]]:
        """The rows as they were loaded."""

    def samples(self, tokenizer: Any, limit: int | None = None, seed: int | None = None) -> Iterable[Sample]:
        """The rows pre-processed and tokenized. Raises UserError when a row lacks a column.

        limit: no more are needed than that: the first ones, or with a seed as many of rows drawn by chance.
        A SampleTable is taken by number; anything else is held in memory whole.
        """

    def exchanges(self, tokenizer: Any = None) -> Iterator[Exchange]:
        """Prompt and right answer of each row, for generation metrics. The tokenizer is needed for chat
        templates only. Raises UserError when the config does not tell which part is the answer."""

    def split(self, eval_size: float, seed: int) -> tuple[DataSource, DataSource]:
        """Cut into (train, eval) by unique content: equal rows are never on both sides.

        eval_size: a share in (0, 1), or a count of rows >= 1.
        """
