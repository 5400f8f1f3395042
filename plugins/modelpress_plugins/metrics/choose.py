"""Which of several answers a model holds most likely."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modelpress.api import TextModel, UserError
from modelpress_plugins.metrics.log_probabilities import log_probabilities


class Chooser:
    """Compares answers by the sum of their tokens' log-probabilities, as lm-eval's `acc` does."""

    def __init__(self, model: TextModel, choices: Sequence[str]) -> None:
        """Raises UserError when an answer has no tokens."""
        self._model = model
        self._choices = [(choice, self._ids(choice)) for choice in choices]

    def best(self, prompt: Sequence[int]) -> str:
        """The likeliest answer behind a prompt; the first of several that are equally likely."""
        scores = [self._score(prompt, ids) for _, ids in self._choices]
        return self._choices[int(np.argmax(scores))][0]

    def _score(self, prompt: Sequence[int], ids: Sequence[int]) -> float:
        room = self._model.context_length - len(ids)
        whole = [*prompt[-room:], *ids]
        rows = np.asarray(self._model.logits(whole))[-len(ids) - 1 : -1]
        return float(log_probabilities(rows)[np.arange(len(ids)), list(ids)].sum())

    def _ids(self, choice: str) -> list[int]:
        ids = list(self._model.tokenizer(choice, add_special_tokens=False)["input_ids"])
        if not ids or len(ids) >= self._model.context_length:
            raise UserError(
                f"The answer {choice!r} has {len(ids)} tokens; the model's context holds "
                f"{self._model.context_length}.",
                "Leave it out of `choices`.",
            )
        return ids
