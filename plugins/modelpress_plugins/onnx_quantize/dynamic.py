"""Dynamic int8 by onnxruntime's own quantizer, which sees the graph and never the weights.

It asks for a weight's numbers in two places: to find its range, and to round it. Here the range is found
strip by strip, and what is rounded is a promise that is kept when the graph is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnxruntime.quantization.onnx_quantizer import (  # type: ignore[import-untyped]
    ONNXQuantizer,
)
from onnxruntime.quantization.quant_utils import (  # type: ignore[import-untyped]
    QuantizationMode,
    QuantType,
    add_infer_metadata,
    quantize_nparray,
    update_opset_version,
)
from onnxruntime.quantization.registry import (  # type: ignore[import-untyped]
    IntegerOpsRegistry,
)

from modelpress_plugins.onnx_graph.graph import STRIP, Array, MadeTensor, from_proto
from modelpress_plugins.onnx_quantize.absent import (
    Absent,
    put_back,
    slabs,
    take_out,
    transpose_weights_of_gemm,
)

Names = tuple[str, str, str]
"""Of the quantized weight, its zero point, its scale."""


@dataclass(frozen=True, slots=True)
class DynamicChoice:
    """What quantize_dynamic is told; empty sequences mean all."""

    weight_type: str = "int8"
    op_types: Sequence[str] = ()
    nodes: Sequence[str] = ()
    excluded: Sequence[str] = ()
    per_channel: bool = False
    reduce_range: bool = False
    extra: Mapping[str, object] = field(default_factory=dict)


def quantize_dynamic(proto: onnx.ModelProto, folder: Path, choice: DynamicChoice) -> ir.Model:
    """The graph that onnxruntime's quantize_dynamic gives, bit for bit. proto: as `located` or `prepare` give
    it; it is changed."""
    model = onnx.shape_inference.infer_shapes(proto)
    add_infer_metadata(model)
    kind = QuantType.QUInt8 if choice.weight_type == "uint8" else QuantType.QInt8
    absent = take_out(model, folder)
    model = update_opset_version(model, kind)
    transpose_weights_of_gemm(model.graph, absent)
    quantizer = AbsentQuantizer(model, kind, choice, absent)
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    given: onnx.ModelProto = quantizer.model.model
    put_back(given, absent, folder)
    made = {name: whole(source, name) for name, source in absent.items() if source.turned} | quantizer.made
    result = from_proto(given, folder)
    for name, value in result.graph.initializers.items():
        if name in made:
            value.const_value = made[name]
    return result


class AbsentQuantizer(ONNXQuantizer):  # type: ignore[misc]
    """onnxruntime's quantizer over a graph whose weights are absent. made: the quantized ones, by name."""

    def __init__(
        self, model: onnx.ModelProto, kind: QuantType, choice: DynamicChoice, absent: Mapping[str, Absent]
    ) -> None:
        self.absent = absent
        self.made: dict[str, MadeTensor] = {}
        super().__init__(
            model,
            choice.per_channel,
            choice.reduce_range,
            QuantizationMode.IntegerOps,
            False,  # not static
            kind,
            QuantType.QUInt8,  # the only one that dynamic quantization has for activations
            None,
            list(choice.nodes),
            list(choice.excluded),
            list(choice.op_types) or list(IntegerOpsRegistry),
            {"MatMulConstBOnly": True, **choice.extra},
        )

    def quantize_initializer_impl(
        self, weight: onnx.TensorProto, kind: int, reduce_range: bool = False, keep_float_weight: bool = False
    ) -> Names:
        plain: Callable[..., Names] = super().quantize_initializer_impl
        source = self.absent.get(weight.name)
        if source is None:
            return plain(weight, kind, reduce_range, keep_float_weight)
        with _standing_in(weight, np.stack(source.extremes(None))):
            names = plain(weight, kind, reduce_range, True)
        if not keep_float_weight:
            self._promise(weight, source, names, None)
        return names

    def quantize_weight_per_channel_impl(
        self,
        weight_name: str,
        kind: int,
        axis: int,
        reduce_range: bool = True,
        keep_float_weight: bool = False,
    ) -> Names:
        plain: Callable[..., Names] = super().quantize_weight_per_channel_impl
        source = self.absent.get(weight_name)
        weight = self.model.get_initializer(weight_name)
        if source is None:
            return plain(weight_name, kind, axis, reduce_range, keep_float_weight)
        axis %= source.rank
        other = 1 if axis == 0 else 0
        stand_in = np.stack(source.extremes(axis), axis=0 if other == 0 else 1)
        wide = [1] * source.rank
        wide[axis], wide[other] = source.shape[axis], 2
        with _standing_in(weight, stand_in.reshape(wide)):
            names = plain(weight_name, kind, axis, reduce_range, True)
        if not keep_float_weight:
            self._promise(weight, source, names, axis)
        return names

    def _promise(self, weight: onnx.TensorProto, source: Absent, names: Names, axis: int | None) -> None:
        """Put the quantized weight into the graph, absent as well, and say how it is made."""
        coded, zero, scale = names
        zeros = self.model.get_initializer(zero)
        scales = onnx.numpy_helper.to_array(self.model.get_initializer(scale))
        rounding = Rounding(zeros.data_type, scales, onnx.numpy_helper.to_array(zeros), axis)
        tensor = onnx.TensorProto(name=coded, data_type=zeros.data_type, dims=weight.dims)
        self.model.initializer_extend([tensor])
        dtype = ir.DataType(zeros.data_type)
        self.made[coded] = MadeTensor(coded, dtype, weight.dims, lambda: rounded(source, rounding))


@dataclass(frozen=True, slots=True)
class Rounding:
    """kind: of the codes, as ONNX numbers types. scales and zeros: one, or one for each channel of the
    axis."""

    kind: int
    scales: Array
    zeros: Array
    axis: int | None

    def __call__(self, numbers: Array, first: int, axis: int | None) -> Array:
        """The codes of some rows, the first of which has that number. axis: of the channels in them."""
        if axis is None:
            return self._codes(numbers, self.scales, self.zeros)
        shape = [1] * numbers.ndim
        shape[axis] = numbers.shape[axis]
        part = slice(first, first + len(numbers)) if axis == 0 else slice(None)
        return self._codes(numbers, self.scales[part].reshape(shape), self.zeros[part].reshape(shape))

    def _codes(self, numbers: Array, scales: Array, zeros: Array) -> Array:
        codes: Array = quantize_nparray(self.kind, numbers, scales, zeros)
        return codes


def rounded(source: Absent, rounding: Rounding) -> Iterator[Array]:
    """The codes of a weight, row by row. Where what is stored is its transpose, they are held as a whole."""
    if not source.turned:
        for first, slab in slabs(source.stored):
            yield rounding(slab, first, rounding.axis)
        return
    axis = None if rounding.axis is None else 1 - rounding.axis
    codes: Array | None = None
    for first, slab in slabs(source.stored):
        some = rounding(slab, first, axis)
        if codes is None:
            codes = np.empty(source.shape, some.dtype)
        codes[:, first : first + len(some)] = some.T
    if codes is not None:
        yield codes


def whole(source: Absent, name: str) -> MadeTensor:
    """A weight whose transpose is stored, in float: some of its rows at a time."""
    rows, columns = source.shape
    dtype = source.stored.dtype

    def pieces() -> Iterator[Array]:
        step = max(1, 16 * STRIP // (columns * dtype.numpy().itemsize))
        for start in range(0, rows, step):
            yield np.concatenate(
                [slab[:, start : start + step].T for _, slab in slabs(source.stored)], axis=1
            )

    return MadeTensor(name, dtype, source.shape, pieces)


@contextmanager
def _standing_in(weight: onnx.TensorProto, numbers: Array) -> Iterator[None]:
    """Give an absent weight a few numbers for a while: those that span its range."""
    dims = list(weight.dims)
    weight.dims[:] = numbers.shape
    weight.raw_data = numbers.tobytes()
    try:
        yield
    finally:
        weight.dims[:] = dims
        weight.ClearField("raw_data")
