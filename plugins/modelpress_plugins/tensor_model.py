"""A model that takes and gives arrays: what metrics need of one, whatever its format. Light, shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from modelpress.api import LoadedModel

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[np.generic]

Feed: TypeAlias = "Mapping[str, Array]"
"""Arrays by the name of the input."""


@dataclass(frozen=True, slots=True)
class TensorInput:
    """An input. dims: a number where a dimension is fixed, else its name, which may be empty."""

    name: str
    dtype: str
    dims: tuple[int | str, ...]


class TensorPart(Protocol):
    """One of the graphs that a model is made of."""

    name: str
    inputs: Sequence[TensorInput]
    outputs: Sequence[str]

    def run(self, feed: Feed) -> Sequence[Array]:
        """The outputs, in their order."""

    def numpy_type(self, dtype: str) -> np.dtype[np.generic]:
        """numpy's type by the name that an input has."""

    def made_inputs(self, shapes: Mapping[str, Sequence[int]], seed: int) -> Feed:
        """Inputs by chance that the graph can be run on. shapes: of those that have to be of one.

        Raises UserError when none were found.
        """


class TensorModel(LoadedModel, Protocol):
    """A model opened in its runtime."""

    def parts_on(self, execution_provider: str) -> Sequence[TensorPart]:
        """Its graphs, to be run with this execution provider. Raises UserError where it is not here."""
