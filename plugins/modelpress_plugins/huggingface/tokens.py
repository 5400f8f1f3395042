"""A text as ids, and which of them are learned."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tokens:
    """Ids with their labels (NO_LOSS where no loss is taken); both of the same length."""

    ids: list[int]
    labels: list[int]

    def __len__(self) -> int:
        return len(self.ids)
