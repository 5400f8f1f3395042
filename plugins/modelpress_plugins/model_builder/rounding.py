"""The weights that a builder itself rounded, read from its graph.

They are held against their source block by block, and given to transformers in the source's place, so that
what the graph computes is compared to the last digits. Logits alone cannot tell a method that is a little
worse from a graph that is a little wrong: both are far from the float model, by what rounding costs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import torch
from onnx import NodeProto
from torch import Tensor, nn

from modelpress.api import Checkpoint, PassError
from modelpress_plugins.grids.grid import Codes, Grid, as_blocks, symmetric_scales
from modelpress_plugins.hf.config import ModelConfig
from modelpress_plugins.hf.families import FUSED, LLAMA, ModuleRole, role_of
from modelpress_plugins.hf.quantized import unpack
from modelpress_plugins.model_builder.graph import read_graph
from modelpress_plugins.model_builder.graph_experts import GraphExperts
from modelpress_plugins.model_builder.graph_tensors import UnknownGraphError, read_rows
from modelpress_plugins.model_builder.verify import TOLERANCE
from modelpress_plugins.tensors.bytes import read_tensor

_NODE = re.compile(r"/(?:model/layers\.(\d+)/(?:attn|self_attn|mlp)/|lm_head)(\w*)/?MatMul\w*")
_ROLES: Mapping[str, tuple[str, ...]] = {
    **{f"{role}_proj": (role,) for role in LLAMA.roles},
    **{f"{whole}_proj": parts for whole, parts in FUSED.items()},
    "fc1": ("up",),
    "fc2": ("down",),
    "": ("head",),
}
"""The builder's name of a product -> what its rows are, one after the other."""
_ROWS = 512
_OFF = 1.5
"""Steps of its block's symmetric grid that a weight may be off: rounding to nearest is off by a half, and by
one at the end that the grid lacks; methods that weigh a block as a whole put single weights a bit further."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows [first, first + count) of a node, or of a module of the checkpoint: those of one role."""

    first: int
    count: int


class GraphWeights:
    """What a graph holds in codes, by the names of the source's modules.

    Raises UnknownGraphError when a node cannot be told to be one of them.
    """

    def __init__(self, graph: Path, checkpoint: Checkpoint, config: ModelConfig) -> None:
        self._folder, self._checkpoint, self._config = graph.parent, checkpoint, config
        model = read_graph(graph).graph
        self._tensors = {tensor.name: tensor for tensor in model.initializer}
        self._heads = (config.heads * config.head_size, config.kv_heads * config.head_size)
        self._at: dict[tuple[int, str], tuple[NodeProto, Part]] = {}
        parts = config.family.parts
        names = {module.rpartition(".")[2]: module for module in modules(checkpoint)}
        self._head = names.get(parts.head) or names.get(parts.embedding, "")
        self.experts = GraphExperts(self._folder, model, checkpoint, config)
        others = {"MoE", "DequantizeLinear"} & {node.op_type for node in model.node}
        if others:
            raise UnknownGraphError(f"the graph has {sorted(others)[0]}")
        lookups = any(node.op_type == "GatherBlockQuantized" for node in model.node)
        if lookups and self._head == names.get(parts.head):
            raise UnknownGraphError("the graph has an embedding in codes of its own")
        for node in model.node:
            if node.op_type == "MatMulNBits":
                self._place(node)
        if not self._at:
            raise UnknownGraphError("the graph has no quantized products")

    def tolerance(self, provider: str) -> float:
        """How far off logits with float products may be, by the sums alone. provider: the builder's name."""
        if self.experts.round_activations:
            return TOLERANCE["int8"]
        return TOLERANCE["fp32" if provider == "cpu" else "fp16"]

    def rows(self, stored: str, start: int, stop: int) -> Tensor | None:
        """fp32 (stop - start, columns) of a module of the checkpoint; None where the graph has floats. Of a
        tensor of experts: (stop - start, in, out)."""
        if stored in self.experts:
            return torch.stack([self.experts.expert(stored, index) for index in range(start, stop)])
        found = []
        for place, part in self._parts(stored):
            first, last = max(start, part.first), min(stop, part.first + part.count)
            if first < last:
                if place not in self._at:
                    return None
                node, at = self._at[place]
                shift = at.first - part.first
                found.append(self._dequantized(node, first + shift, last + shift))
        return torch.cat(found) if found else None

    def compare_all(self) -> None:
        """Raises PassError where a weight is not its source's, rounded."""
        for stored in (*modules(self._checkpoint), *self.experts):
            self.compare(stored)

    def compare(self, stored: str) -> float:
        """The largest error of a weight of a module, in steps of its block's symmetric grid; 0 for one in
        float. Raises PassError beyond the limit."""
        if stored in self.experts:
            worst = self.experts.worst(stored)
        else:
            worst = max((self._worst(stored, *each) for each in self._parts(stored)), default=0.0)
        if not worst <= _OFF:
            raise PassError(
                f"The builder rounded {stored} wrongly: a weight is off by {worst:.1f} steps of its block, "
                f"{_OFF} is the limit.",
                "Please report it with the model's config.json. verify: never ships it all the same.",
            )
        return worst

    def _worst(self, stored: str, place: tuple[int, str], part: Part) -> float:
        if place not in self._at:
            return 0.0
        node, at = self._at[place]
        grid, worst = self._grid(node), 0.0
        for start in range(0, part.count, _ROWS):
            stop = min(start + _ROWS, part.count)
            rows = slice(part.first + start, part.first + stop)
            source = read_tensor(self._checkpoint, f"{stored}.weight", rows).float()
            error = self._dequantized(node, at.first + start, at.first + stop) - source
            padding = (0, -source.shape[1] % grid.group_size)
            error, source = (nn.functional.pad(t, padding).contiguous() for t in (error, source))
            steps = symmetric_scales(as_blocks(source, grid.group_size), grid.bits).abs().clamp(min=1e-12)
            worst = max(worst, float((as_blocks(error, grid.group_size).abs().amax(-1) / steps).max()))
        return worst

    def _place(self, node: NodeProto) -> None:
        match = _NODE.fullmatch(node.name)
        if match is None or match[2] not in _ROLES:
            raise UnknownGraphError(f"the graph has a product {node.name}")
        layer, roles = int(match[1] or 0), _ROLES[match[2]]
        count = next(a.i for a in node.attribute if a.name == "N")
        for role, part in zip(roles, self._split(roles, count), strict=True):
            self._at[layer, role] = node, part

    def _parts(self, stored: str) -> list[tuple[tuple[int, str], Part]]:
        """((layer, role), rows of the module that they are)."""
        found = ModuleRole(0, "head") if stored == self._head else role_of(stored, self._config.family)
        if found is None:
            return []
        layer, roles = found.layer, FUSED.get(found.role, (found.role,))
        count = self._checkpoint.info(f"{stored}.weight").shape[0]
        return [((layer, role), part) for role, part in zip(roles, self._split(roles, count), strict=True)]

    def _split(self, roles: Sequence[str], count: int) -> list[Part]:
        if len(roles) == 1:
            return [Part(0, count)]
        queries, keys = self._heads
        sizes = [queries, keys, keys] if len(roles) == 3 else [count // 2] * 2
        if sum(sizes) != count:
            raise UnknownGraphError(f"{'+'.join(roles)} has {count} rows, expected {sum(sizes)}")
        return [Part(end - size, size) for end, size in zip(accumulate(sizes), sizes, strict=True)]

    def _grid(self, node: NodeProto) -> Grid:
        told = {a.name: a.i for a in node.attribute}
        return Grid(told["bits"], told["block_size"], symmetric=len(node.input) < 4 or not node.input[3])

    def _dequantized(self, node: NodeProto, start: int, stop: int) -> Tensor:
        grid, told = self._grid(node), {a.name: a.i for a in node.attribute}
        blocks = -(-told["K"] // grid.group_size)
        rows = stop - start
        packed = self._read(node.input[1], told["N"], start, stop).reshape(rows, -1)
        scales = self._read(node.input[2], told["N"], start, stop).reshape(rows, blocks).float()
        zeros: Tensor | None = None
        if not grid.symmetric:
            zeros = self._read(node.input[3], told["N"], start, stop).reshape(rows, -1)
            if zeros.dtype != torch.uint8:
                raise UnknownGraphError(f"{node.name} has zero points of {zeros.dtype}")
            zeros = unpack(zeros, grid.bits, blocks)
        values = unpack(packed, grid.bits, blocks * grid.group_size).contiguous()
        return Codes(values, scales, zeros, grid).dequantize()[:, : told["K"]]

    def _read(self, name: str, rows: int, start: int, stop: int) -> Tensor:
        """The rows of an initializer, however it is shaped; only they are read."""
        return read_rows(self._folder, self._tensors[name], rows, start, stop)


def modules(checkpoint: Checkpoint) -> Iterator[str]:
    """Those with a matrix."""
    for name in checkpoint.names():
        if name.endswith(".weight") and len(checkpoint.info(name).shape) == 2:
            yield name.removesuffix(".weight")
