"""Surgeons of the two largest weights of a language model: the embedding and the output layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from modelpress.api import UserError
from modelpress_plugins.graph_surgeries.edit import (
    MICROSOFT,
    Array,
    Operation,
    array_of,
    constant_of,
    drop_unused,
    initializer,
    insert,
    integer,
    nodes,
    remove,
    replace,
    static_shape,
)
from modelpress_plugins.graph_surgeries.surgeons import (
    QuantizeEmbeddingInt8,
    ShareEmbeddingLmHead,
    TieWordEmbeddings,
)
from modelpress_plugins.graph_surgeries.weights import equal, equal_transposed, row_blocks
from modelpress_plugins.onnx_graph.graph import MadeTensor

_LOOKUP, _QUANTIZED_LOOKUP, _HEAD, _QUANTIZED_HEAD = "Gather", "GatherBlockQuantized", "MatMul", "MatMulNBits"
_IDS = ("input_ids", "input_embeds", "inputs_embeds")
_BEHIND_HEAD = ("Cast", "Mul", "Div", "Tanh", "Identity")
"""What may stand between the output layer and the logits: types, and the cap of some families."""
_BLOCK, _CENTRE, _LARGEST = 32, 128, 127
_SHARED = "Embedding and output layer read the same weight already."
_SAMPLED_ROWS = 256
_ALIKE = 0.9
"""Cosine of the rows of two weights from which on one is a rounding of the other. Rounded to 4 bits and to 8
the rows of one weight reach 0.99; rows of different weights stay near 0."""


class _Ends(NamedTuple):
    """The node that looks ids up and the one that gives logits; None where the graph has another form."""

    lookup: ir.Node | None
    head: ir.Node | None


def tie_word_embeddings(model: ir.Model, options: TieWordEmbeddings, operation: Operation) -> int:
    """One weight for both, where they are equal to the last bit."""
    lookup, head = _ends(model)
    if lookup is None or head is None:
        what = "embedding" if lookup is None else "output layer"
        operation.tell(f"TieWordEmbeddings finds no {what} with a constant weight.")
        return 0
    if _is_shared(lookup, head):
        operation.tell(_SHARED)
        return 0
    kinds = (lookup.op_type, head.op_type)
    if kinds == (_LOOKUP, _HEAD):
        return _tie_float(model, lookup, head, operation)
    if kinds == (_QUANTIZED_LOOKUP, _QUANTIZED_HEAD):
        return _tie_quantized(model, lookup, head, operation)
    operation.tell("Of embedding and output layer one is quantized and the other is not: they are not tied.")
    return 0


def _ends(model: ir.Model) -> _Ends:
    names = {value.name: value for value in model.graph.inputs}
    ids = next((names[name] for name in _IDS if name in names), None)
    logits = next((value for value in model.graph.outputs if value.name == "logits"), None)
    readers = [use.node for use in ids.uses()] if ids is not None else []
    kinds = (_LOOKUP, _QUANTIZED_LOOKUP)
    lookups = [n for n in readers if n.op_type in kinds and constant_of(_root(n.inputs[0])) is not None]
    return _Ends(lookups[0] if lookups else None, _head(logits))


def _head(value: ir.Value | None) -> ir.Node | None:
    """The product that logits come from, through what only scales or casts them."""
    while value is not None:
        node = value.producer()
        if node is None:
            return None
        if node.op_type in (_HEAD, _QUANTIZED_HEAD):
            return node if _weight(node) is not None else None
        value = node.inputs[0] if node.op_type in _BEHIND_HEAD else None
    return None


def _weight(head: ir.Node) -> ir.TensorProtocol | None:
    """The weight of an output layer, also where it is another's, reshaped."""
    return constant_of(_root(head.inputs[1]))


def _root(value: ir.Value | None) -> ir.Value | None:
    """The weight itself, through what only gives it another shape: so builders write one that is shared."""
    while value is not None:
        node = value.producer()
        if node is None or node.op_type not in ("Reshape", "Transpose"):
            return value
        value = node.inputs[0]
    return None


def _is_shared(lookup: ir.Node, head: ir.Node) -> bool:
    return _root(lookup.inputs[0]) is _root(head.inputs[1])


def _tie_float(model: ir.Model, lookup: ir.Node, head: ir.Node, operation: Operation) -> int:
    """MatMul(x, W) -> Gemm(x, E, transB) with E = Wᵀ; Gemm reads matrices, so x is reshaped and back."""
    embedding, read, weight = lookup.inputs[0], head.inputs[0], head.inputs[1]
    one, other = constant_of(embedding), constant_of(weight)
    if one is None or other is None or embedding is None or not equal_transposed(one, other):
        operation.tell("The weights of embedding and output layer differ: they are not tied.")
        return 0
    rows, width = one.shape.numpy()
    flat = initializer(model, f"{head.name}/flat", np.array([-1, width], np.int64))
    flattened = insert(model, head, "Reshape", [read, flat])
    attributes: dict[str, int | float | str] = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}
    product = insert(model, head, "Gemm", [flattened, embedding], dict(attributes))
    shape = insert(model, head, "Shape", [read], {"start": 0, "end": -1})
    last = initializer(model, f"{head.name}/rows", np.array([rows], np.int64))
    back = insert(model, head, "Concat", [shape, last], {"axis": 0})
    replace(head.outputs[0], insert(model, head, "Reshape", [product, back], like=head.outputs[0]))
    remove(head)
    return 1


def _tie_quantized(model: ir.Model, lookup: ir.Node, head: ir.Node, operation: Operation) -> int:
    """One set of codes, scales and zero points for GatherBlockQuantized and MatMulNBits, whose codes have
    another shape: through a Reshape, which onnxruntime folds."""
    ours = _filled([lookup.inputs[0], *lookup.inputs[2:4]])
    theirs = _filled(list(head.inputs[1:4]))
    codes, packed = constant_of(ours[0]), constant_of(theirs[0])
    same = integer(lookup, "block_size", 128) == integer(head, "block_size", 128)
    same &= _bits(lookup) == integer(head, "bits", 4) and len(ours) == len(theirs)
    if codes is None or packed is None or not same or not all(map(_same, ours, theirs)):
        operation.tell("The quantized weights of embedding and output layer differ: they are not tied.")
        return 0
    if codes.dtype == ir.DataType.UINT8:
        _read(model, lookup, head, ours, tuple(packed.shape.numpy()))
    else:
        _look_up(model, lookup, head, ours, theirs)
    return 1


def _bits(lookup: ir.Node) -> int:
    """Of a code; the type of the codes says it where that has less than a byte."""
    codes = constant_of(lookup.inputs[0])
    return 4 if codes is not None and codes.dtype.bitwidth == 4 else integer(lookup, "bits", 4)


def _look_up(
    model: ir.Model,
    lookup: ir.Node,
    head: ir.Node,
    ours: list[ir.Value | None],
    theirs: list[ir.Value | None],
) -> None:
    """Let GatherBlockQuantized read the codes of MatMulNBits, which takes whole bytes alone."""
    rows = integer(head, "N", 0)
    blocks = initializer(model, f"{lookup.name}/blocks", np.array([rows, -1], np.int64))
    codes = insert(model, lookup, "Reshape", [head.inputs[1], blocks], name=f"{lookup.name}/Reshape")
    lookup.replace_input_with(0, codes)
    for index, value in enumerate(theirs[1:], 2):
        lookup.replace_input_with(index, value if index > 2 else ours[1])
    head.replace_input_with(2, ours[1])
    lookup.attributes["bits"] = ir.AttrInt64("bits", 4)
    for old in (*ours, *theirs):
        if old is not None:
            drop_unused(old)


def _read(
    model: ir.Model, lookup: ir.Node, head: ir.Node, ours: list[ir.Value | None], shape: tuple[int, ...]
) -> None:
    """Let MatMulNBits read what is looked up."""
    before = list(head.inputs[1:4])
    blocks = initializer(model, f"{head.name}/blocks", np.array(shape, np.int64))
    codes = insert(model, head, "Reshape", [ours[0], blocks], name=f"{head.name}/Reshape")
    if ours[0] is not None and ours[0].dtype is not None:
        codes.type, codes.shape = ir.TensorType(ours[0].dtype), ir.Shape(shape)
    if len(head.inputs) <= len(ours):
        head.resize_inputs(len(ours) + 1)
    for index, value in enumerate([codes, *ours[1:]], 1):
        head.replace_input_with(index, value)
    for old in before:
        if old is not None:
            drop_unused(old)


def _filled(values: list[ir.Value | None]) -> list[ir.Value | None]:
    """Without the empty places at the end."""
    while values and values[-1] is None:
        values = values[:-1]
    return values


def _same(one: ir.Value | None, other: ir.Value | None) -> bool:
    """Whether two constants have the same bytes; codes from -8 to 7 are the same as those from 0 to 15 around
    8, which is what they are without zero points."""
    if one is other:
        return True
    first, second = constant_of(one), constant_of(other)
    if first is None or second is None:
        return False
    return equal(first, second, flipped=0x88 if first.dtype == ir.DataType.INT4 else 0)


def quantize_embedding_int8(model: ir.Model, options: QuantizeEmbeddingInt8, operation: Operation) -> int:
    """code = round(x / scale) + 128 with scale = the largest of a block / 127."""
    lookup, head = _ends(model)
    if lookup is not None and head is not None and _is_shared(lookup, head):
        operation.tell(_SHARED)
        return 0
    lookup = lookup or next((n for n in nodes(model, _LOOKUP) if "embed_tokens" in (n.name or "")), None)
    tensor = constant_of(lookup.inputs[0]) if lookup is not None else None
    if lookup is None or lookup.op_type != _LOOKUP or tensor is None or len(tensor.shape) != 2:
        operation.tell("QuantizeEmbeddingInt8 finds no embedding with a constant weight in float.")
        return 0
    rows, width = tensor.shape.numpy()
    if tensor.dtype not in (ir.DataType.FLOAT, ir.DataType.FLOAT16) or width % _BLOCK:
        operation.tell(
            f"The embedding is {tensor.dtype.name}, {width} wide: QuantizeEmbeddingInt8 takes floats, "
            f"in blocks of {_BLOCK}."
        )
        return 0
    weight = lookup.inputs[0]
    name = weight.name if weight is not None else ""
    blocks = width // _BLOCK
    made = [
        initializer(model, f"{name}_{suffix}", MadeTensor("", dtype, shape, pieces))
        for suffix, dtype, shape, pieces in (
            ("Q8", ir.DataType.UINT8, (rows, width), lambda: (codes for codes, _ in _rounded(tensor))),
            ("scales", tensor.dtype, (rows, blocks), lambda: (scales for _, scales in _rounded(tensor))),
            ("zp", ir.DataType.UINT8, (rows, blocks), lambda: [np.full((rows, blocks), _CENTRE, np.uint8)]),
        )
    ]
    attributes: dict[str, int | float | str] = {
        "bits": 8, "block_size": _BLOCK, "gather_axis": 0, "quantize_axis": 1
    }  # fmt: skip
    found = insert(
        model, lookup, _QUANTIZED_LOOKUP, [made[0], lookup.inputs[1], made[1], made[2]], dict(attributes),
        domain=MICROSOFT, name=f"{lookup.name}_Q8", like=lookup.outputs[0],
    )  # fmt: skip
    replace(lookup.outputs[0], found)
    remove(lookup)
    return 1


def _rounded(tensor: ir.TensorProtocol) -> Iterator[tuple[Array, Array]]:
    """(codes, scales) of some rows at a time."""
    for rows in row_blocks(tensor):
        blocks = rows.astype(np.float32).reshape(len(rows), -1, _BLOCK)
        scales = (np.abs(blocks).max(axis=2) / _LARGEST).astype(rows.dtype)
        exact = scales.astype(np.float32)
        steps = np.rint(blocks / np.where(exact == 0, 1, exact)[:, :, None])
        codes = (np.clip(steps, -_CENTRE, _LARGEST) + _CENTRE).astype(np.uint8)
        yield codes.reshape(len(rows), -1), scales


def share_embedding_lm_head(model: ir.Model, options: ShareEmbeddingLmHead, operation: Operation) -> int:
    """The output layer is that of the embedding, in 8 bits: it has to be a rounding of the same weight.

    Raises UserError when it is not: the model does not tie the two.
    """
    lookup, head = _ends(model)
    if lookup is None or lookup.op_type != _QUANTIZED_LOOKUP or integer(lookup, "bits", 4) != 8:
        operation.tell("ShareEmbeddingLmHead finds no embedding in 8 bits: QuantizeEmbeddingInt8 makes one.")
        return 0
    if head is None or head.op_type != _QUANTIZED_HEAD:
        operation.tell("ShareEmbeddingLmHead finds no output layer that is quantized (MatMulNBits).")
        return 0
    if _is_shared(lookup, head):
        operation.tell(_SHARED)
        return 0
    rows, width = (integer(head, name, 0) for name in ("N", "K"))
    if static_shape(lookup.inputs[0]) != (rows, width) or not _are_alike(lookup, head):
        raise UserError(
            "The output layer is no rounding of the embedding: the model does not tie the two.",
            "Take ShareEmbeddingLmHead out.",
        )
    size = integer(lookup, "block_size", _BLOCK)
    ours = [lookup.inputs[0], *lookup.inputs[2:4]]
    for name, value in (("bits", 8), ("block_size", size)):
        head.attributes[name] = ir.AttrInt64(name, value)
    if len(ours) == 2 and len(head.inputs) > 3 and head.inputs[3] is not None:
        ours.append(None)
    _read(model, lookup, head, ours, (rows, width // size, size))
    return 1


def _are_alike(lookup: ir.Node, head: ir.Node) -> bool:
    """Whether some rows of both weights, as numbers, point the same way."""
    ours = _numbers(lookup.inputs[0], lookup.inputs[2], _at(lookup, 3), integer(lookup, "bits", 4))
    theirs = _numbers(head.inputs[1], head.inputs[2], _at(head, 3), integer(head, "bits", 4))
    if ours is None or theirs is None or ours.shape != theirs.shape:
        return False
    sizes = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosines = (ours * theirs).sum(axis=1)[sizes > 0] / sizes[sizes > 0]
    return bool(len(cosines) == 0 or np.median(cosines) >= _ALIKE)


def _at(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if len(node.inputs) > index else None


def _numbers(
    codes: ir.Value | None, scales: ir.Value | None, zeros: ir.Value | None, bits: int
) -> npt.NDArray[np.float32] | None:
    """(rows, width) of the first rows of a weight that is packed in blocks; None where it is not."""
    packed, sizes = constant_of(codes), array_of(scales)
    if packed is None or sizes is None or bits not in (4, 8):
        return None
    first = next(row_blocks(packed))[:_SAMPLED_ROWS].view(np.uint8)
    rows, all_rows = len(first), packed.shape.numpy()[0]
    flat = _unpacked(first.reshape(rows, -1), bits).astype(np.float32)
    steps = sizes.reshape(all_rows, -1)[:rows].astype(np.float32)
    found = array_of(zeros)
    if found is None:
        centres = np.full(steps.shape, 2 ** (bits - 1), np.float32)
    else:
        table = found.reshape(all_rows, -1)[:rows]
        whole = _unpacked(table.view(np.uint8), bits) if table.dtype == np.uint8 else table
        centres = whole[:, : steps.shape[1]].astype(np.float32)
    blocks = flat.reshape(rows, steps.shape[1], -1)
    numbers: npt.NDArray[np.float32] = (blocks - centres[:, :, None]) * steps[:, :, None]
    return numbers.reshape(rows, -1)


def _unpacked(bytes_: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.uint8]:
    if bits == 8:
        return bytes_
    return np.stack([bytes_ & 15, bytes_ >> 4], axis=-1).reshape(len(bytes_), -1)
