"""Rows of a data config as inputs of a graph, one after the other, for onnxruntime's calibrators."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from onnxruntime.quantization import CalibrationDataReader  # type: ignore[import-untyped]

from modelpress.api import DataSource, Sample, UserError
from modelpress_plugins.onnx_graph.facts import ValueFacts
from modelpress_plugins.onnx_graph.graph import Array
from modelpress_plugins.onnx_graph.inputs import numpy_type
from modelpress_plugins.onnx_quantize.text_inputs import IDS, is_made, takes_text

Feed = dict[str, Array]


class Rows(CalibrationDataReader):  # type: ignore[misc]
    """What onnxruntime calibrates on: inputs are made when it asks for the next. count: how many it got."""

    def __init__(self, feeds: Callable[[], Iterable[Feed]], tell: Callable[[int], None]) -> None:
        self._feeds, self._tell = feeds, tell
        self.count = 0
        self._rows = iter(feeds())

    def get_next(self) -> Feed | None:
        row = next(self._rows, None)
        if row is not None:
            self.count += 1
            self._tell(self.count)
        return row

    def rewind(self) -> None:
        self._rows, self.count = iter(self._feeds()), 0


def feeds_from(
    data: DataSource, inputs: Sequence[ValueFacts], tokenizer: Callable[[], object]
) -> Iterator[Feed]:
    """Inputs of the graph: the columns that are called as they are, or text, tokenized, where it takes ids.

    tokenizer: called when text is to be tokenized. Raises UserError for a row that does not fit.
    """
    wanted = [value.name for value in inputs]
    rows = data.records()
    first = next(rows, None)
    if first is None:
        raise UserError(f"The calibration data {data.name} are empty.", "Give some rows.")
    columns = _columns(first)
    if set(columns) & set(wanted):
        yield from (_fed(_columns(row), inputs, data.name) for row in _chain(first, rows))
    elif takes_text(wanted):
        for sample in data.samples(tokenizer()):
            yield _text(sample, inputs)
    else:
        raise UserError(
            f"The calibration data {data.name} have the columns {', '.join(columns)}; the model takes "
            f"{', '.join(wanted)}.",
            "Name the columns as the inputs.",
        )


def _columns(row: object) -> Mapping[str, object]:
    """A row by column; of a pair, what goes in: (inputs, label) as user scripts give them."""
    if isinstance(row, tuple | list) and row and isinstance(row[0], Mapping):
        row = row[0]
    if not isinstance(row, Mapping):
        raise UserError(f"A row of the calibration data is {type(row).__name__}, no mapping of inputs.")
    return row


def _chain(first: object, rows: Iterator[object]) -> Iterator[object]:
    yield first
    yield from rows


def _fed(row: Mapping[str, object], inputs: Sequence[ValueFacts], name: str) -> Feed:
    missing = [value.name for value in inputs if value.name not in row and not is_made(value)]
    if missing:
        raise UserError(
            f"The calibration data {name} lack {', '.join(missing)}, which the model takes.",
            f"They have the columns {', '.join(row)}.",
        )
    feed: Feed = {}
    for value in inputs:
        if value.name in row:
            feed[value.name] = _array(row[value.name], value, name)
    return {**feed, **_made_beside(feed, inputs)}


def _array(given: object, value: ValueFacts, name: str) -> Array:
    """As the input takes it; a batch of one where the row is a single sample."""
    array: Array = np.asarray(given).astype(numpy_type(value.dtype), copy=False)
    dims = value.dims
    if dims is not None and array.ndim == len(dims) - 1:
        array = array[None]
    if dims is not None and not _fits(array.shape, dims):
        raise UserError(
            f"The calibration data {name} give {value.name} the shape {list(array.shape)}; the model takes "
            f"{[dim or '?' for dim in dims]}.",
            "Give each row the shape of the input, with or without its first dimension.",
        )
    return array


def _fits(shape: tuple[int, ...], dims: Sequence[int | str]) -> bool:
    return len(shape) == len(dims) and all(
        isinstance(dim, str) or dim == size for dim, size in zip(dims, shape, strict=True)
    )


def _text(sample: Sample, inputs: Sequence[ValueFacts]) -> Feed:
    by_name = {value.name: value for value in inputs}
    ids = np.asarray(sample.input_ids, np.int64)[None]
    mask = np.asarray(sample.attention_mask or [1] * ids.shape[1], np.int64)[None]
    length = (by_name[IDS].dims or ("", ""))[-1]
    if isinstance(length, int):  # a graph of fixed shape: cut, or filled up with what the mask leaves out
        lacking = max(0, length - ids.shape[1])
        ids, mask = (np.pad(given, ((0, 0), (0, lacking)))[:, :length] for given in (ids, mask))
    feed: Feed = {IDS: ids.astype(numpy_type(by_name[IDS].dtype))}
    if "attention_mask" in by_name:
        feed["attention_mask"] = mask.astype(numpy_type(by_name["attention_mask"].dtype))
    return {**feed, **_made_beside(feed, inputs)}


def _made_beside(feed: Feed, inputs: Sequence[ValueFacts]) -> Feed:
    """Inputs that follow from the others: masks, positions, kinds of tokens, an empty cache."""
    made: Feed = {}
    ids = feed.get(IDS)
    for value in inputs:
        if value.name in feed or not is_made(value):
            continue
        kind = numpy_type(value.dtype)
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
    return made
