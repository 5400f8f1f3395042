"""The next token from a model's logits: the likeliest, or drawn."""

from __future__ import annotations

import torch
from torch import Tensor

from modelpress.api import Sampling


def greedy(logits: Tensor) -> Tensor:
    """(1, 1, vocabulary) -> (1, 1), the likeliest id."""
    return logits.argmax(-1)


class Draw:
    """Draws an id from each call's logits, in float32 on the CPU: the same for a seed on every device."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._random = torch.Generator().manual_seed(sampling.seed)

    def __call__(self, logits: Tensor) -> Tensor:
        """(1, 1, vocabulary) -> (1, 1)."""
        told = self._sampling
        scores, ids = (logits[0, 0].float().cpu() / told.temperature).sort(descending=True, stable=True)
        if told.top_k:
            scores, ids = scores[: told.top_k], ids[: told.top_k]
        shares = scores.softmax(-1)
        before = shares.cumsum(-1) - shares  # of those that are likelier
        shares = shares.where(before < told.top_p, 0)
        drawn = torch.multinomial(shares, 1, generator=self._random)
        return ids[drawn].view(1, 1).to(logits.device)
