"""The model opened, so that metrics and commands can ask it. Heavy imports stand in such a module only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from modelpress.api import Artifact, Sampling

from .files import Counts, read_counts
from .letters import END, VOCABULARY, Letters


class BigramText:
    """A TextModel. A pair that was not seen counts as a tenth."""

    def __init__(self, counts: Counts) -> None:
        self.tokenizer = Letters()
        self.eos_ids = frozenset({END})
        self.context_length = 4096
        self._log = np.full((VOCABULARY, VOCABULARY), 0.1, dtype=np.float32)
        for first, row in counts.items():
            for second, count in row.items():
                self._log[self.tokenizer.encode(first)[0], self.tokenizer.encode(second)[0]] += count
        self._log = np.log(self._log / self._log.sum(axis=1, keepdims=True))

    def logits(self, ids: Sequence[int]) -> np.ndarray:
        return self._log[list(ids)]

    def generate(
        self, ids: Sequence[int], max_new_tokens: int, sampling: Sampling | None = None
    ) -> Iterator[int]:
        last = ids[-1]
        random = np.random.default_rng(sampling.seed if sampling else 0)
        for _ in range(max_new_tokens):
            scores = self._log[last]
            if sampling:  # the largest of scores with Gumbel noise is a draw from their distribution
                scores = scores / sampling.temperature + random.gumbel(size=scores.shape)
            last = int(scores.argmax())
            yield last
            if last in self.eos_ids:
                return

    def generate_batch(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[list[int]]:
        return [
            [token for token in self.generate(prompt, max_new_tokens) if token not in self.eos_ids]
            for prompt in prompts
        ]

    def close(self) -> None:
        """Nothing is held."""


def load(artifact: Artifact, device: str) -> BigramText:
    return BigramText(read_counts(artifact.path))
