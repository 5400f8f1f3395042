"""Open a graph while its weights stay on disk, take them by strips, and write a graph with them in order.

The memory contract of every pass on a graph: the structure and one strip of one tensor, not the model.

    graph = open_graph(file)                     # an onnx_ir Model; initializers are StoredTensors
    for strip in strips(value.const_value): …    # numpy, flat, a few MB each
    value.const_value = MadeTensor(name, dtype, shape, pieces)   # computed while it is written
    write_graph(graph, out / "model.onnx")
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from modelpress.api import UserError, refusal
from modelpress_plugins.onnx_graph.tensors import with_data, without_data
from modelpress_plugins.onnx_graph.wire import DamagedError, Hole, edit_tensors, length_of

STRIP = 2**22
"""Bytes of a strip, about."""
THRESHOLD = 1024
"""Tensors with fewer bytes stay in the graph: shape inference and folding read them."""
LARGEST = 2**31 - 2**20
"""Bytes of a single file that every reader of protobuf takes; with more, weights lie beside the graph."""
_ALIGNED, _ALIGNMENT = 2**20, 2**16
"""Tensors of so many bytes begin at a multiple of what Windows and Linux can map."""
_HERE = "held-by-modelpress"

Array: TypeAlias = npt.NDArray[np.generic]
Pieces: TypeAlias = Callable[[], Iterable["bytes | memoryview | Array"]]


class StoredTensor(ir.LazyTensor):
    """A tensor whose bytes lie in a file, read each time that they are asked for."""

    def __init__(
        self, file: Path, offset: int, nbytes: int, dtype: ir.DataType, shape: ir.Shape, name: str
    ) -> None:
        super().__init__(lambda: _in_memory(self.read(), dtype, shape), dtype, shape, name=name)
        self.file, self.offset, self.length = file, offset, nbytes

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Some of its bytes."""
        stop = self.length if stop is None else min(stop, self.length)
        with self.file.open("rb", buffering=0) as file:
            return _read_exactly(file, self.offset + start, stop - start, self)

    def rows(self, start: int, stop: int) -> Array:
        """Some rows, along the first dimension, in memory of their own. Not for types of less than a byte."""
        shape = self.shape.numpy()
        row = self.length // max(1, shape[0])
        found = np.frombuffer(self.read(start * row, stop * row), self.dtype.numpy())
        return found.reshape(-1, *shape[1:])

    def pieces(self) -> Iterator[bytes]:
        """All of its bytes, strip by strip."""
        with self.file.open("rb", buffering=0) as file:
            for start in range(0, self.length, STRIP):
                yield _read_exactly(file, self.offset + start, min(STRIP, self.length - start), self)

    def tobytes(self) -> bytes:
        return self.read()


class MadeTensor(ir.LazyTensor):
    """A tensor that is computed, piece by piece, each time that it is written or read.

    pieces: gives its bytes from front to back, as arrays or bytes; types of less than a byte packed.
    """

    def __init__(self, name: str, dtype: ir.DataType, shape: Iterable[int], pieces: Pieces) -> None:
        known = ir.Shape(tuple(shape))
        super().__init__(lambda: _in_memory(self.tobytes(), dtype, known), dtype, known, name=name)
        self._source = pieces

    def pieces(self) -> Iterator[bytes]:
        for piece in self._source():
            yield piece if isinstance(piece, bytes) else piece.tobytes()

    def tobytes(self) -> bytes:
        return b"".join(self.pieces())


def pieces_of(tensor: ir.TensorProtocol) -> Iterator[bytes]:
    """The bytes of any tensor, strip by strip where that spares memory."""
    if isinstance(tensor, StoredTensor | MadeTensor):
        yield from tensor.pieces()
    else:
        yield tensor.tobytes()


def strips(tensor: ir.TensorProtocol) -> Iterator[Array]:
    """The elements of any tensor, flat, strip by strip. Not for types of less than a byte."""
    dtype = tensor.dtype.numpy()
    for piece in pieces_of(tensor):
        yield np.frombuffer(piece, dtype)


def initializers(model: ir.Model) -> Iterator[ir.Value]:
    """Those of the graph and of all graphs below it, that have a tensor."""
    for graph in model.graphs():
        yield from (value for value in graph.initializers.values() if value.const_value is not None)


def open_proto(file: Path, threshold: int = THRESHOLD) -> onnx.ModelProto:
    """The graph as onnx has it, without its weights: those that lie in the file itself are, to all that read
    the proto, in an external file that has the name of the graph. Raises UserError when it is damaged."""
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            pieces = edit_tensors(
                data, len(data), lambda d, start, stop: without_data(d, start, stop, file.name, threshold)
            )
        proto = onnx.ModelProto()
        proto.ParseFromString(b"".join(piece for piece in pieces if isinstance(piece, bytes)))
    except (OSError, ValueError) as error:
        what = "is cut or damaged" if isinstance(error, DamagedError) else "cannot be read"
        raise UserError(*refusal(f"{file} {what}", error, "Export or copy the model again.")) from None
    return proto


def open_graph(file: Path, threshold: int = THRESHOLD) -> ir.Model:
    """The graph, for onnx_ir; initializers with more bytes than the threshold are StoredTensors."""
    return from_proto(open_proto(file, threshold), file.parent)


def from_proto(proto: onnx.ModelProto, folder: Path) -> ir.Model:
    """A graph whose external tensors lie in this folder, with StoredTensors in their place."""
    model = ir.from_proto(proto)
    for graph in model.graphs():
        for node in list(graph):
            _settle_attributes(graph, node, folder)
    for value in initializers(model):
        if isinstance(value.const_value, ir.ExternalTensor):
            value.const_value = _stored(value.const_value, folder)
    return model


def _stored(tensor: ir.ExternalTensor, folder: Path) -> StoredTensor:
    nbytes = tensor.length or tensor.nbytes
    file = folder / str(tensor.location)
    return StoredTensor(file, tensor.offset or 0, nbytes, tensor.dtype, tensor.shape, tensor.name)


def _settle_attributes(graph: ir.Graph, node: ir.Node, folder: Path) -> None:
    """A large constant becomes an initializer, which can stay on disk; other attributes are read."""
    for name, attribute in list(node.attributes.items()):
        if attribute.is_ref() or attribute.type != ir.AttributeType.TENSOR:
            continue
        tensor = attribute.value
        if not isinstance(tensor, ir.ExternalTensor):
            continue
        stored = _stored(tensor, folder)
        output = node.outputs[0]
        if node.op_type != "Constant" or output.is_graph_output() or output.name in graph.initializers:
            node.attributes[name] = ir.AttrTensor(name, ir.Tensor(stored.numpy(), stored.dtype))
            continue
        told, stored.name = output.name or f"{node.name}_value", output.name
        value = ir.Value(name=told, shape=stored.shape, type=ir.TensorType(stored.dtype), const_value=stored)
        output.name = None
        ir.convenience.replace_all_uses_with(output, value)
        graph.remove(node, safe=True)
        graph.register_initializer(value)


def located(model: ir.Model) -> tuple[onnx.ModelProto, Path]:
    """The graph for those who know protos alone, and the folder that its external tensors lie in."""
    held = [(value, value.const_value) for value in initializers(model)]
    stored = [(value, tensor) for value, tensor in held if isinstance(tensor, StoredTensor)]
    parents = {tensor.file.parent for _, tensor in stored}
    folder = Path(os.path.commonpath(parents)) if parents else Path()
    try:
        for value, tensor in stored:
            place = tensor.file.relative_to(folder).as_posix()
            shape, name = ir.Shape(tensor.shape.numpy()), value.name or ""
            value.const_value = ir.ExternalTensor(
                place, tensor.offset, tensor.length, tensor.dtype, shape=shape, name=name
            )
        return ir.to_proto(model), folder
    finally:
        for value, tensor in stored:
            value.const_value = tensor


def through_proto(
    model: ir.Model,
    change: Callable[[onnx.ModelProto], onnx.ModelProto],
    retyped: Callable[[ir.TensorProtocol], ir.TensorProtocol],
    largest: int = 2**20,
) -> ir.Model:
    """Have a library change the graph that knows protos alone. It sees weights as external tensors, and may
    move, drop or retype them, and read them by onnx.numpy_helper.

    retyped: the tensor for one to which the library gave another type
    largest: bytes of a tensor up to which the library is given its numbers. Of a larger one it gets zeros of
             its shape, which take no memory: for libraries that look at shapes
    """
    held = [value for value in initializers(model) if _goes_apart(value.const_value, DEFAULT_FORM)]
    tensors = [tensor for value in held if (tensor := value.const_value) is not None]
    try:
        for index, (value, tensor) in enumerate(zip(held, tensors, strict=True)):
            value.const_value = _placed(tensor, value, _HERE, index)
        proto = ir.to_proto(model)
    finally:
        for value, tensor in zip(held, tensors, strict=True):
            value.const_value = tensor
    with _readable(tensors, largest):
        changed = change(proto)
    result = ir.from_proto(changed)
    for value in initializers(result):
        placed = value.const_value
        if isinstance(placed, ir.ExternalTensor) and placed.location == _HERE:
            tensor = tensors[placed.offset or 0]
            value.const_value = tensor if tensor.dtype == placed.dtype else retyped(tensor)
    return result


@contextmanager
def _readable(tensors: Sequence[ir.TensorProtocol], largest: int) -> Iterator[None]:
    """While it lasts, onnx.numpy_helper reads these tensors where a proto stands for one."""
    to_array = onnx.numpy_helper.to_array

    def read(proto: onnx.TensorProto, base_dir: str = "") -> Array:
        place = {entry.key: entry.value for entry in proto.external_data}
        if place.get("location") != _HERE:
            return to_array(proto, base_dir)
        tensor = tensors[int(place["offset"])]
        if tensor.nbytes <= largest:
            return tensor.numpy()
        return np.broadcast_to(np.zeros((), tensor.dtype.numpy()), tensor.shape.numpy())

    with patch.object(onnx.numpy_helper, "to_array", read):
        yield


@dataclass(frozen=True, slots=True)
class Form:
    """How a graph is written.

    external:  weights in files beside the graph; they are, too, where one file would be too large
    data_name: of the one file; empty: that of the graph and `.data`
    threshold: tensors with fewer bytes stay in the graph
    one_file:  all tensors in one file, or one for each
    """

    external: bool = False
    data_name: str = ""
    threshold: int = THRESHOLD
    one_file: bool = True


DEFAULT_FORM = Form()


def _nothing(done: int, total: int) -> None:
    """Nobody wants to know how far it is."""


def write_graph(
    model: ir.Model,
    file: Path,
    form: Form = DEFAULT_FORM,
    progress: Callable[[int, int], None] = _nothing,
) -> None:
    """Write a graph and its weights. progress: bytes done, and of all. The same graph gives the same bytes.

    No file may lie there that one of the graph's own tensors is read from.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    held = [value for value in initializers(model) if _goes_apart(value.const_value, form)]
    tensors = [tensor for value in held if (tensor := value.const_value) is not None]
    total = sum(tensor.nbytes for tensor in tensors)
    external = form.external or total > LARGEST
    try:
        if external:
            _write_beside(model, held, tensors, file, form, progress)
        else:
            _write_inside(model, held, tensors, file, progress)
    finally:
        for value, tensor in zip(held, tensors, strict=True):
            value.const_value = tensor


def _goes_apart(tensor: ir.TensorProtocol | None, form: Form) -> bool:
    if tensor is None or tensor.dtype == ir.DataType.STRING:
        return False
    return tensor.nbytes >= (form.threshold if form.external else THRESHOLD)


def _write_beside(
    model: ir.Model,
    held: list[ir.Value],
    tensors: list[ir.TensorProtocol],
    file: Path,
    form: Form,
    progress: Callable[[int, int], None],
) -> None:
    total, done, offset = sum(tensor.nbytes for tensor in tensors), 0, 0
    data_name = form.data_name or f"{file.name}.data"
    shared = (file.parent / data_name).open("wb") if form.one_file and held else None
    try:
        for index, (value, tensor) in enumerate(zip(held, tensors, strict=True)):
            if shared is None:
                name, offset = f"{file.name}.{index}.data", 0
                with (file.parent / name).open("wb") as own:
                    done = _write_pieces(own, tensor, done, total, progress)
            else:
                name = data_name
                if tensor.nbytes >= _ALIGNED and (rest := offset % _ALIGNMENT):
                    shared.write(bytes(_ALIGNMENT - rest))
                    offset += _ALIGNMENT - rest
                done = _write_pieces(shared, tensor, done, total, progress)
            value.const_value = _placed(tensor, value, name, offset)
            offset += tensor.nbytes
    finally:
        if shared is not None:
            shared.close()
    file.write_bytes(ir.to_proto(model).SerializeToString(deterministic=True))


def _write_inside(
    model: ir.Model,
    held: list[ir.Value],
    tensors: list[ir.TensorProtocol],
    file: Path,
    progress: Callable[[int, int], None],
) -> None:
    for index, (value, tensor) in enumerate(zip(held, tensors, strict=True)):
        value.const_value = _placed(tensor, value, _HERE, index)
    data = ir.to_proto(model).SerializeToString(deterministic=True)
    pieces = edit_tensors(data, len(data), lambda d, start, stop: with_data(d, start, stop, _HERE))
    total, done = length_of(pieces), 0
    with file.open("wb") as out:
        for piece in pieces:
            if isinstance(piece, Hole):
                done = _write_pieces(out, tensors[piece.index], done, total, progress)
            else:
                out.write(piece)


def _placed(tensor: ir.TensorProtocol, value: ir.Value, name: str, offset: int) -> ir.ExternalTensor:
    shape = ir.Shape(tensor.shape.numpy())
    return ir.ExternalTensor(
        name, offset, tensor.nbytes, tensor.dtype, shape=shape, name=value.name or tensor.name or ""
    )


def _write_pieces(
    out: IO[bytes], tensor: ir.TensorProtocol, done: int, total: int, progress: Callable[[int, int], None]
) -> int:
    """Returns the bytes done after it. Raises ValueError when there are more or fewer than the shape says."""
    before = done
    for piece in pieces_of(tensor):
        out.write(piece)
        done += len(piece)
        progress(done, total)
    if done - before != tensor.nbytes:
        raise ValueError(f"{tensor.name} gave {done - before} bytes, and has {tensor.nbytes}")
    return done


def _read_exactly(file: IO[bytes], offset: int, count: int, tensor: StoredTensor) -> bytes:
    file.seek(offset)
    found = file.read(count)
    while len(found) < count:
        more = file.read(count - len(found))
        if not more:
            raise UserError(
                f"{tensor.file} is cut short: {tensor.name} lacks {count - len(found):,} bytes.",
                "Export or copy the model again.",
            )
        found += more
    return found


def _in_memory(data: bytes, dtype: ir.DataType, shape: ir.Shape) -> ir.TensorProtocol:
    if dtype.bitwidth < 8:
        return ir.PackedTensor(np.frombuffer(data, np.uint8), dtype, shape=shape)
    return ir.Tensor(np.frombuffer(data, dtype.numpy()).reshape(shape.numpy()), dtype)
