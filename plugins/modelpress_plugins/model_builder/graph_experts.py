"""The experts that a builder rounded, read from the QMoE nodes of its graph; see rounding.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from onnx import GraphProto, TensorProto
from torch import Tensor

from modelpress.api import Checkpoint
from modelpress_plugins.hf.config import ModelConfig
from modelpress_plugins.hf.quantized import unpack
from modelpress_plugins.model_builder.graph_tensors import UnknownGraphError, read_rows
from modelpress_plugins.tensors.bytes import read_tensor

_WEIGHT = re.compile(r"model\.layers\.(\d+)\.moe\.experts\.(\w+)\.qweight")


@dataclass(frozen=True, slots=True)
class _Codes:
    """weight: (experts, rows, columns of bytes); scales: (experts, rows, blocks)."""

    weight: TensorProto
    scales: TensorProto
    bits: int
    block: int


class GraphExperts:
    """Tensors of all experts of a layer, by the names of the source's checkpoint.

    Raises UnknownGraphError when the source keeps them in another form than GPT-OSS does.
    """

    def __init__(self, folder: Path, graph: GraphProto, checkpoint: Checkpoint, config: ModelConfig) -> None:
        self._folder, self._checkpoint = folder, checkpoint
        self._codes: dict[str, _Codes] = {}
        tensors = {tensor.name: tensor for tensor in graph.initializer}
        experts = config.family.experts
        for node in graph.node:
            if node.op_type != "QMoE":
                continue
            if experts is None or not experts.in_by_out:
                raise UnknownGraphError("the graph has QMoE")
            told = {attribute.name: attribute.i for attribute in node.attribute}
            for name in filter(None, map(_WEIGHT.fullmatch, node.input)):
                stored = f"model.layers.{name[1]}.{experts.path}.{name[2]}"
                scales = tensors.get(f"{name[0].removesuffix('qweight')}scales")
                if stored not in checkpoint or scales is None or "block_size" not in told:
                    raise UnknownGraphError(f"the graph has experts {name[0]}")
                self._codes[stored] = _Codes(
                    tensors[name[0]], scales, told["expert_weight_bits"], told["block_size"]
                )

    def __contains__(self, stored: str) -> bool:
        return stored in self._codes

    def __iter__(self) -> Iterator[str]:
        return iter(self._codes)

    @property
    def round_activations(self) -> bool:
        """Whether the CPU computes with 8-bit activations whatever the graph says: onnxruntime 1.32 does, for
        experts of 8 bits (1.2 % off in one product; those of 4 bits are exact)."""
        return any(codes.bits == 8 for codes in self._codes.values())

    def expert(self, stored: str, index: int) -> Tensor:
        """fp32 (in, out) of one expert, as the source has it."""
        codes = self._codes[stored]
        experts, rows, _ = codes.weight.dims
        packed = read_rows(self._folder, codes.weight, experts, index, index + 1).view(rows, -1)
        scales = read_rows(self._folder, codes.scales, experts, index, index + 1).view(rows, -1).float()
        columns = packed.shape[1] * 8 // codes.bits
        values = unpack(packed, codes.bits, columns).float() - 2 ** (codes.bits - 1)
        weight: Tensor = values * scales.repeat_interleave(codes.block, 1)[:, :columns]
        return weight.T.contiguous()

    def worst(self, stored: str) -> float:
        """The largest error of a weight, in steps of its block."""
        codes, worst = self._codes[stored], 0.0
        experts, rows, _ = codes.weight.dims
        for index in range(experts):
            at = slice(index, index + 1)
            source = read_tensor(self._checkpoint, stored, at)[0].float()
            scales = read_rows(self._folder, codes.scales, experts, index, index + 1).view(rows, -1).float()
            steps = scales.abs().repeat_interleave(codes.block, 1)[:, : source.shape[0]].T.clamp(min=1e-12)
            worst = max(worst, float(((self.expert(stored, index) - source).abs() / steps).max()))
        return worst
