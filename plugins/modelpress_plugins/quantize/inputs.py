"""What a calibrated quantizer knows of the inputs of a linear module."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

SAMPLED_ROWS = 512
"""Input vectors that are kept as they are."""


class InputStatistics:
    """Gathered batch by batch over inputs (tokens, in).

    gram:   float32 (in, in): the mean of x x^T
    sample: float32 (rows, in): some of the inputs, spread evenly over all
    """

    def __init__(self, width: int, tokens: int, device: str = "cpu", rows: int = SAMPLED_ROWS) -> None:
        """tokens: how many will come."""
        self._every = max(1, tokens // rows)
        self.gram = torch.zeros(width, width, device=device)
        # Whole from the start: pieces that stay, among buffers that come and go, would tear up the heap.
        self.sample = torch.empty(-(-tokens // self._every), width, device=device)
        self._seen = 0
        self._memo: dict[object, object] = {}

    def add(self, inputs: Tensor) -> None:
        """inputs: (..., in)."""
        rows = inputs.detach().reshape(-1, inputs.shape[-1]).float()
        self.gram.addmm_(rows.T, rows)
        kept = rows[-self._seen % self._every :: self._every]
        at = -(-self._seen // self._every)
        self.sample[at : at + len(kept)] = kept
        self._seen += len(rows)

    def finish(self) -> None:
        """To be called after the last batch."""
        self.gram /= max(1, self._seen)

    def output_error(self, moved: Tensor) -> float:
        """The mean over the inputs of |moved @ x|^2; moved: (out, in). By the sample when that is cheaper."""
        if moved.shape[1] <= SAMPLED_ROWS:
            return float(((moved @ self.gram) * moved).sum())
        return float((self.sample @ moved.T).square().sum()) / len(self.sample)

    def rescale(self, factors: Tensor) -> None:
        """As if every input had been multiplied by factors (in,)."""
        self.gram *= factors.unsqueeze(0) * factors.unsqueeze(1)
        self.sample *= factors
        self._memo.clear()

    def remembered(self, key: object, make: Callable[[], T]) -> T:
        """What make() gave the first time: projections that share their input share such work."""
        if key not in self._memo:
            self._memo[key] = make()
        return self._memo[key]  # type: ignore[return-value]
