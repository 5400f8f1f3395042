"""The data container `DummyDataContainer`: random tokens, the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from modelpress.api import DataContext, Exchange, Sample, UserError
from modelpress_plugins.hf.ids import HfTokenizer
from modelpress_plugins.huggingface.data_config import DummyOptions


def open_dummy(config: DummyOptions, data: DataContext) -> DummySource:
    """Open a data config; nothing is kept."""
    load = config.load_dataset_config
    return DummySource(range(load.max_samples), load.length, load.seed)


@dataclass(frozen=True)
class DummySource:
    """A modelpress.api.DataSource of random tokens."""

    numbers: range
    length: int
    seed: int
    name: str = "dummy data"
    prompt_template: str | None = None

    def records(self) -> Iterator[Mapping[str, Any]]:
        """What is known without a tokenizer: each sample's number."""
        return ({"number": number} for number in self.numbers)

    def samples(
        self, tokenizer: HfTokenizer, limit: int | None = None, seed: int | None = None
    ) -> list[Sample]:
        special = set(tokenizer.all_special_ids)
        plain = [i for i in range(len(tokenizer)) if i not in special]
        return [self._sample(number, plain) for number in self.numbers[:limit]]

    def exchanges(self, tokenizer: HfTokenizer | None = None) -> Iterator[Exchange]:
        raise UserError("Dummy data has no right answers.", "Measure with data that has some.")

    def split(self, eval_size: float, seed: int) -> tuple[DummySource, DummySource]:
        count = len(self.numbers)
        held = max(1, round(eval_size * count) if eval_size < 1 else int(eval_size))
        if held >= count:
            raise UserError(f"{held} samples cannot be held out of {count}.", "Lower eval_dataset_size.")
        return (
            DummySource(self.numbers[:-held], self.length, self.seed),
            DummySource(self.numbers[-held:], self.length, self.seed),
        )

    def _sample(self, number: int, plain: list[int]) -> Sample:
        ids = Random(f"{self.seed}/{number}").choices(plain, k=self.length)
        return Sample(ids, list(ids), [1] * len(ids))
