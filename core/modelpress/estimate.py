"""A measured number and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number that was measured on a part of what could be measured: on some rows, some answers, some runs.

    low, high: measured again in the same way, it lies between them in 19 of 20 cases
    """

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        """Raises ValueError when the number lies outside its own interval."""
        if self.low > self.value or self.value > self.high:
            raise ValueError(f"{self.value} does not lie between {self.low} and {self.high}")

    def __float__(self) -> float:
        return self.value
