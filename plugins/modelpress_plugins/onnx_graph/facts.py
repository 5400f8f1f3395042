"""What an ONNX file says of itself, without its weights: for plans and checks. Light."""

from __future__ import annotations

import mmap
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modelpress.api import JSONValue, UserError
from modelpress_plugins.onnx_graph.tensors import DTYPES, TensorFacts, read_tensor
from modelpress_plugins.onnx_graph.wire import Bytes, DamagedError, Field, fields, number_in, text_in

Dims = tuple[int | str, ...]
"""A number where a dimension is fixed, else its name; empty text where it has none."""
LARGEST_FILE = 2**31 - 1
"""Bytes of a protobuf that its readers take, onnxruntime among them."""
_AGAIN = "Export or copy the model again."


@dataclass(frozen=True, slots=True)
class ValueFacts:
    """An input or output of the graph. dims: None where not even their number is known."""

    name: str
    dtype: str
    dims: Dims | None

    @property
    def dynamic(self) -> list[int]:
        """Which dimensions are not fixed."""
        return [i for i, dim in enumerate(self.dims or ()) if isinstance(dim, str)]


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """operators: `domain::name` -> how many nodes, those of subgraphs too; the default domain is empty.
    functions: the operators that the model itself defines. tensors: all of them, of attributes too."""

    ir_version: int = 0
    opsets: Mapping[str, int] = field(default_factory=dict)
    inputs: tuple[ValueFacts, ...] = ()
    outputs: tuple[ValueFacts, ...] = ()
    operators: Mapping[str, int] = field(default_factory=dict)
    functions: frozenset[str] = frozenset()
    tensors: tuple[TensorFacts, ...] = ()

    @property
    def files(self) -> list[str]:
        """The files beside it that hold its weights, relative to its folder."""
        return sorted({tensor.file for tensor in self.tensors if tensor.file})

    @property
    def weights(self) -> dict[str, int]:
        """Bytes of all tensors, by type."""
        found: Counter[str] = Counter()
        for tensor in self.tensors:
            found[DTYPES.get(tensor.dtype, str(tensor.dtype))] += tensor.nbytes
        return dict(found)

    def summary(self) -> dict[str, JSONValue]:
        """As JSON, for the plans of the passes that come after: the tensors as bytes by type."""
        return {
            "ir_version": self.ir_version,
            "opsets": dict(self.opsets),
            "inputs": [_told(value) for value in self.inputs],
            "outputs": [_told(value) for value in self.outputs],
            "operators": dict(self.operators),
            "functions": sorted(self.functions),
            "weights": self.weights,
        }


def read_facts(file: Path) -> GraphFacts:
    """Raises UserError when it is not there, damaged, or larger than any reader takes."""
    try:
        size = file.stat().st_size
        if size > LARGEST_FILE:
            raise UserError(
                f"{file} has {size / 2**30:.1f} GiB in a single file; onnxruntime reads no more than 2.",
                "Save it with its weights in a file of their own: onnx.save(…, save_as_external_data=True).",
            )
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            facts = _model(data, len(data))
    except (OSError, ValueError) as error:
        reason = "it is empty" if isinstance(error, ValueError) and "empty" in str(error) else str(error)
        what = "is cut short or no ONNX file" if isinstance(error, DamagedError) else "cannot be read"
        raise UserError(f"{file} {what}: {reason}.", _AGAIN) from None
    if not facts.opsets or not (facts.operators or facts.outputs):
        raise UserError(f"{file} is no ONNX file: it holds no graph.", _AGAIN)
    return facts


def check_weights(file: Path, facts: GraphFacts) -> None:
    """Raises UserError when weights are missing or cut, or lie outside the graph's folder."""
    sizes: dict[str, int] = {}
    for tensor in facts.tensors:
        if tensor.file and tensor.file not in sizes:
            sizes[tensor.file] = _size_of(file, tensor.file)
        if tensor.nbytes < tensor.declared:
            raise UserError(
                f"{file}: {tensor.name} has {tensor.nbytes:,} bytes, its shape asks for {tensor.declared:,}.",
                _AGAIN,
            )
        if tensor.file and sizes[tensor.file] < tensor.offset + tensor.nbytes:
            raise UserError(
                f"{file.parent / tensor.file} is cut short: {sizes[tensor.file]:,} bytes, "
                f"{file.name} needs {tensor.offset + tensor.nbytes:,}.",
                _AGAIN,
            )


def leads_out(name: str) -> bool:
    """Whether a file's name, as POSIX or Windows would read it, is not one below the folder."""
    parts = re.split(r"[/\\]", name)
    return ".." in parts or parts[0] == "" or bool(re.match(r"[A-Za-z]:|~", name))


def _size_of(graph: Path, name: str) -> int:
    if leads_out(name):
        raise UserError(f"{graph} keeps weights outside its folder, in {name!r}.", _AGAIN)
    path = graph.parent / name
    if not path.is_file():
        raise UserError(
            f"{graph} keeps its weights in {name!r}, which is not beside it.",
            "Copy that file into the same folder.",
        )
    return path.stat().st_size


def _told(value: ValueFacts) -> dict[str, JSONValue]:
    return {
        "name": value.name,
        "dtype": value.dtype,
        "dims": None if value.dims is None else list(value.dims),
    }


class _Reader:
    """Gathers what the messages say, in one walk."""

    def __init__(self, data: Bytes) -> None:
        self.data = data
        self.operators: Counter[str] = Counter()
        self.tensors: list[TensorFacts] = []

    def graph(self, start: int, stop: int) -> Iterator[Field]:
        """Gathers nodes and initializers; gives every other field."""
        for found in fields(self.data, start, stop):
            if found.number == 1:
                self.node(found.start, found.stop)
            elif found.number == 5:
                self.tensors.append(read_tensor(self.data, found.start, found.stop))
            else:
                yield found

    def node(self, start: int, stop: int) -> None:
        domain = name = ""
        for found in fields(self.data, start, stop):
            if found.number == 4:
                name = text_in(self.data, found)
            elif found.number == 7:
                domain = text_in(self.data, found)
            elif found.number == 5:
                self.attribute(found.start, found.stop)
        self.operators[f"{_plain(domain)}::{name}"] += 1

    def attribute(self, start: int, stop: int) -> None:
        for found in fields(self.data, start, stop):
            if found.wire == 2 and found.number in (5, 10):
                self.tensors.append(read_tensor(self.data, found.start, found.stop))
            elif found.wire == 2 and found.number in (6, 11):
                for _ in self.graph(found.start, found.stop):
                    pass


def _model(data: Bytes, size: int) -> GraphFacts:
    reader = _Reader(data)
    ir_version, opsets, functions = 0, dict[str, int](), set[str]()
    values: dict[int, list[ValueFacts]] = {11: [], 12: []}
    for found in fields(data, 0, size):
        if found.number == 1 and found.wire == 0:
            ir_version = number_in(data, found)
        elif found.number == 8:
            domain, version = _opset(data, found)
            opsets[_plain(domain)] = version
        elif found.number == 25:
            functions.add(_function(reader, found))
        elif found.number == 7:
            for part in reader.graph(found.start, found.stop):
                if part.number in values:
                    values[part.number].append(_value(data, part))
    held = {tensor.name for tensor in reader.tensors}
    return GraphFacts(
        ir_version,
        opsets,
        tuple(value for value in values[11] if value.name not in held),
        tuple(values[12]),
        dict(reader.operators),
        frozenset(functions),
        tuple(reader.tensors),
    )


def _opset(data: Bytes, found: Field) -> tuple[str, int]:
    domain, version = "", 0
    for part in fields(data, found.start, found.stop):
        if part.number == 1:
            domain = text_in(data, part)
        elif part.number == 2:
            version = number_in(data, part)
    return domain, version


def _function(reader: _Reader, found: Field) -> str:
    name = domain = ""
    for part in fields(reader.data, found.start, found.stop):
        if part.number == 1:
            name = text_in(reader.data, part)
        elif part.number == 7:
            reader.node(part.start, part.stop)
        elif part.number == 10:
            domain = text_in(reader.data, part)
    return f"{_plain(domain)}::{name}"


def _value(data: Bytes, found: Field) -> ValueFacts:
    name, dtype, dims = "", "", None
    for part in fields(data, found.start, found.stop):
        if part.number == 1:
            name = text_in(data, part)
        elif part.number == 2:
            for kind in fields(data, part.start, part.stop):
                if kind.number == 1:
                    dtype, dims = _tensor_type(data, kind)
    return ValueFacts(name, dtype, dims)


def _tensor_type(data: Bytes, found: Field) -> tuple[str, Dims | None]:
    dtype, dims = "", None
    for part in fields(data, found.start, found.stop):
        if part.number == 1:
            dtype = DTYPES.get(number_in(data, part), "")
        elif part.number == 2:
            shape = [_dim(data, dim) for dim in fields(data, part.start, part.stop) if dim.number == 1]
            dims = tuple(shape)
    return dtype, dims


def _dim(data: Bytes, found: Field) -> int | str:
    for part in fields(data, found.start, found.stop):
        if part.number == 1:
            return max(0, number_in(data, part)) or ""
        if part.number == 2:
            return text_in(data, part).replace("?", "")  # PaddlePaddle's, for any that has no name
    return ""


def _plain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def values_from(told: object) -> tuple[ValueFacts, ...]:
    """Inputs or outputs as `summary` has them."""
    found = []
    for item in told if isinstance(told, Sequence) else ():
        if isinstance(item, Mapping):
            dims = item.get("dims")
            known = tuple(dims) if isinstance(dims, Sequence) else None
            found.append(ValueFacts(str(item.get("name")), str(item.get("dtype")), known))
    return tuple(found)
