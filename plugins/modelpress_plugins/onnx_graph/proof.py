"""Compare two graphs by what they give: the result of a pass with its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Difference:
    """Between the outputs of two models on the same inputs, all outputs together.

    largest, mean: of the absolute differences; scale: the largest absolute value of the first model's
    cosine:  the smallest over the outputs; 1 for the same direction
    top_1:   share of positions whose largest value is at the same place, over the last dimension
    infinite: outputs of the second that are not finite where those of the first are
    """

    largest: float
    mean: float
    scale: float
    cosine: float
    top_1: float
    infinite: int

    def __str__(self) -> str:
        return (
            f"largest difference {self.largest:.3g} of values up to {self.scale:.3g}, mean {self.mean:.3g}, "
            f"cosine {self.cosine:.6f}, top-1 the same in {self.top_1:.1%}"
        )


def difference(first: Sequence[Array], second: Sequence[Array]) -> Difference:
    """Outputs that are no numbers are left out. Raises ValueError when shapes or counts differ."""
    if len(first) != len(second):
        raise ValueError(f"one gives {len(first)} outputs, the other {len(second)}")
    largest = total = scale = 0.0
    cosine, infinite, count = 1.0, 0, 0
    tops: list[Array] = []
    for one, other in zip(first, second, strict=True):
        if one.shape != other.shape:
            raise ValueError(f"one gives {list(one.shape)}, the other {list(other.shape)}")
        if one.dtype == object or not one.size:
            continue
        a, b = one.astype(np.float64), other.astype(np.float64)
        both = np.isfinite(a) & np.isfinite(b)
        infinite += int(np.count_nonzero(np.isfinite(a) & ~np.isfinite(b)))
        if a.ndim and a.shape[-1] > 1:
            tops.append((a.argmax(-1) == b.argmax(-1)).ravel())
        a, b = a[both], b[both]
        if a.size:
            gap = np.abs(a - b)
            largest, total = max(largest, float(gap.max())), total + float(gap.sum())
            scale, count = max(scale, float(np.abs(a).max())), count + a.size
            cosine = min(cosine, _cosine(a, b))
    top = float(np.concatenate(tops).mean()) if tops else 1.0
    return Difference(largest, total / max(1, count), scale, cosine, top, infinite)


def _cosine(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    if lengths == 0:
        return 1.0 if np.array_equal(a, b) else 0.0
    return min(1.0, float(np.dot(a, b)) / lengths)


def fitted(feed: Mapping[str, Array], wanted: Mapping[str, np.dtype[np.generic]]) -> dict[str, Array]:
    """The same inputs for a graph whose inputs are of other types."""
    return {name: array.astype(wanted[name]) for name, array in feed.items() if name in wanted}
