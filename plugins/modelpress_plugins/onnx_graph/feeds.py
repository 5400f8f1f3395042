"""Rows of a data config as inputs of a graph, one after the other: to calibrate on, and to measure with.

numpy alone: metrics use it for models of any format that takes arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from modelpress.api import Artifact, DataSource, Sample, UserError
from modelpress_plugins.onnx_graph.text_inputs import IDS, is_made, takes_text

Array: TypeAlias = npt.NDArray[np.generic]
Feed: TypeAlias = dict[str, Array]


class TakesArray(Protocol):
    """An input of a model. dims: a number where a dimension is fixed, else its name; None where not even
    their number is known."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def dims(self) -> Sequence[int | str] | None: ...


@dataclass(frozen=True, slots=True)
class Feeder:
    """Makes inputs of a graph. numpy_type: numpy's type by the name that an input has."""

    inputs: Sequence[TakesArray]
    numpy_type: Callable[[str], np.dtype[np.generic]]

    def from_data(self, data: DataSource, tokenizer: Callable[[], object]) -> Iterator[Feed]:
        """Of each row: the columns that are called as the inputs, or text, tokenized, where ids are taken.

        tokenizer: called when text is to be tokenized. Raises UserError for a row that does not fit.
        """
        wanted = [value.name for value in self.inputs]
        rows = data.records()
        first = next(rows, None)
        if first is None:
            raise UserError(f"The data {data.name} are empty.", "Give some rows.")
        columns = _columns(first)
        if set(columns) & set(wanted):
            yield from (self._of_row(_columns(row), data.name) for row in chain([first], rows))
        elif takes_text(wanted):
            yield from (self.of_text(sample) for sample in data.samples(tokenizer()))
        else:
            raise UserError(
                f"The data {data.name} have the columns {', '.join(columns)}; the model takes "
                f"{', '.join(wanted)}.",
                "Name the columns as the inputs.",
            )

    def of_text(self, sample: Sample) -> Feed:
        """A tokenized text as inputs of a language model: ids, and what follows from them."""
        by_name = {value.name: value for value in self.inputs}
        ids = np.asarray(sample.input_ids, np.int64)[None]
        mask = np.asarray(sample.attention_mask or [1] * ids.shape[1], np.int64)[None]
        length = (by_name[IDS].dims or ("", ""))[-1]
        if isinstance(length, int):  # a graph of fixed shape: cut, or filled up with what the mask leaves out
            lacking = max(0, length - ids.shape[1])
            ids, mask = (np.pad(given, ((0, 0), (0, lacking)))[:, :length] for given in (ids, mask))
        feed: Feed = {IDS: ids.astype(self.numpy_type(by_name[IDS].dtype))}
        if "attention_mask" in by_name:
            feed["attention_mask"] = mask.astype(self.numpy_type(by_name["attention_mask"].dtype))
        return self._completed(feed)

    def _of_row(self, row: Mapping[str, object], name: str) -> Feed:
        missing = [v.name for v in self.inputs if v.name not in row and not is_made(v.name)]
        if missing:
            raise UserError(
                f"The data {name} lack {', '.join(missing)}, which the model takes.",
                f"They have the columns {', '.join(row)}.",
            )
        given = [value for value in self.inputs if value.name in row]
        return self._completed({value.name: self._array(row[value.name], value, name) for value in given})

    def _array(self, given: object, value: TakesArray, name: str) -> Array:
        """As the input takes it; a batch of one where the row is a single sample."""
        array: Array = np.asarray(given)
        wanted, dims = self.numpy_type(value.dtype), value.dims
        if not _becomes(array.dtype, wanted):
            raise UserError(
                f"The data {name} give {value.name} as {array.dtype}; the model takes {value.dtype}.",
                "Give whole numbers where the input takes them, and text where it takes text.",
            )
        if dims is not None and array.ndim == len(dims) - 1:
            array = array[None]
        if dims is not None and not _fits(array.shape, dims):
            raise UserError(
                f"The data {name} give {value.name} the shape {list(array.shape)}; the model takes "
                f"{[dim or '?' for dim in dims]}.",
                "Give each row the shape of the input, with or without its first dimension.",
            )
        return array.astype(wanted, copy=False)

    def _completed(self, feed: Feed) -> Feed:
        """With the inputs that follow from the others: masks, positions, kinds of tokens, an empty cache."""
        made: Feed = {}
        ids = feed.get(IDS)
        for value in self.inputs:
            if value.name in feed or not is_made(value.name):
                continue
            kind = self.numpy_type(value.dtype)
            if "past" in value.name or ids is None:
                dims = value.dims or ()
                shape = [dim if isinstance(dim, int) else 1 if i == 0 else 0 for i, dim in enumerate(dims)]
                made[value.name] = np.zeros(shape, kind)
            elif "position" in value.name:
                made[value.name] = np.arange(ids.shape[1], dtype=kind)[None]
            elif "mask" in value.name:
                made[value.name] = np.ones(ids.shape, kind)
            else:
                made[value.name] = np.zeros(ids.shape, kind)
        return {**feed, **made}


def tokenizer_of(model: Artifact) -> object:
    """Of the model's folder. Raises UserError when there is none."""
    from modelpress_plugins.hf.tokenizer import load_tokenizer  # noqa: PLC0415 - text alone needs it

    return load_tokenizer(model)


def _columns(row: object) -> Mapping[str, object]:
    """A row by column; of a pair, what goes in: (inputs, label) as user scripts give them."""
    if isinstance(row, tuple | list) and row and isinstance(row[0], Mapping):
        row = row[0]
    if not isinstance(row, Mapping):
        raise UserError(f"A row of the data is {type(row).__name__}, no mapping of inputs.")
    return row


def _becomes(given: np.dtype[np.generic], wanted: np.dtype[np.generic]) -> bool:
    """Whether numbers of one type mean the same in the other, but for rounding."""
    if given.kind in "OSU" or wanted.kind in "OSU":
        return given.kind in "OSU" and wanted.kind in "OSU"
    return given == wanted or given.kind in "biu" or wanted.kind not in "biu"


def _fits(shape: tuple[int, ...], dims: Sequence[int | str]) -> bool:
    return len(shape) == len(dims) and all(
        isinstance(dim, str) or dim == size for dim, size in zip(dims, shape, strict=True)
    )
