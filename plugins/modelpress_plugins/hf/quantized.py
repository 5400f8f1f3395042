"""The quantized checkpoint: one layout, Olive's, which onnxruntime-genai's builder reads as it is.

A linear module `m` of (out, in) becomes
    m.qweight  uint8   (out, in * bits / 8)            codes packed along the row, the first in the low bits
    m.scales   float32 (out, in / group_size)
    m.qzeros   uint8   (out, ceil(groups * bits / 8))  packed alike; absent on a symmetric grid
and `config.json` gets a `quantization_config` that names bits and group_size, with `overrides` for the
modules that differ. Everything else keeps its name and bytes. Fused projections (Phi-3's `qkv_proj`,
`gate_up_proj`) are stored as their parts, because the builder of onnxruntime-genai 0.18 cuts zero points of
fused ones at the wrong row; `fused` in the config says how to put them together again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor

from modelpress.api import Checkpoint, UserError
from modelpress_plugins.grids.grid import Codes, Grid
from modelpress_plugins.hf.config import LOADER, METHOD, ModelConfig, read_config
from modelpress_plugins.tensors.bytes import read_tensor

KINDS = ("qweight", "scales", "qzeros")
"""What a quantized module is made of."""


def pack(values: Tensor, bits: int) -> Tensor:
    """uint8 (rows, n) of codes -> uint8 (rows, ceil(n * bits / 8))."""
    each = 8 // bits
    if each == 1:
        return values
    if rest := -values.shape[1] % each:
        values = torch.nn.functional.pad(values, (0, rest))
    if bits == 4:  # two codes are one int16: one pass instead of a strided read per code
        pairs = values.contiguous().view(torch.int16)
        return (pairs | (pairs >> 4)).to(torch.uint8)
    packed = values[:, ::each].clone()
    for at in range(1, each):
        packed |= values[:, at::each] << (at * bits)
    return packed


def unpack(packed: Tensor, bits: int, count: int) -> Tensor:
    """uint8 (rows, bytes) -> uint8 (rows, count) of codes."""
    if bits == 4:  # as in `pack`: both codes of a byte at once
        pairs = packed.to(torch.int16)
        return ((pairs | (pairs << 4)) & 0x0F0F).view(torch.uint8)[:, :count]
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8)
    values: Tensor = (packed.unsqueeze(-1) >> shifts) & (2**bits - 1)
    return values.view(packed.shape[0], -1)[:, :count]


def tensors_of(module: str, codes: Codes) -> dict[str, Tensor]:
    """The tensors of a quantized module, by their names in the file, each contiguous."""
    bits = codes.grid.bits
    found = {f"{module}.qweight": pack(codes.values, bits), f"{module}.scales": codes.scales.float()}
    if codes.zeros is not None:
        found[f"{module}.qzeros"] = pack(codes.zeros, bits)
    return {name: tensor.contiguous() for name, tensor in found.items()}


def stored_names(module: str, checkpoint: Checkpoint) -> list[str]:
    """The tensors of a quantized module that a checkpoint holds."""
    return [name for kind in KINDS if (name := f"{module}.{kind}") in checkpoint]


def declared_tensors(
    module: str, grid: Grid, shape: tuple[int, int]
) -> list[tuple[str, str, tuple[int, int]]]:
    """(name, safetensors dtype, shape) of the tensors that a module of that shape becomes."""
    rows, columns = shape
    groups = columns // grid.group_size
    found = [
        (f"{module}.qweight", "U8", (rows, columns * grid.bits // 8)),
        (f"{module}.scales", "F32", (rows, groups)),
    ]
    if not grid.symmetric:
        found.append((f"{module}.qzeros", "U8", (rows, -(-groups * grid.bits // 8))))
    return found


class _Block(BaseModel):
    """The section of `config.json` as it is written; what is not known there is passed over."""

    bits: int
    group_size: int
    symmetric: bool
    overrides: dict[str, dict[str, int | bool]] | None = None
    fused: dict[str, list[str]] | None = None
    lm_head: bool = False
    algorithm: str = ""
    tied: bool = False
    embedding: str = ""
    modules_to_not_convert: list[str] | None = None
    marks: dict[str, dict[str, int | bool]] | None = None


@dataclass(frozen=True, slots=True)
class QuantizationConfig:
    """What `config.json` says of a quantized checkpoint.

    grid:      of every module that has no override
    overrides: module -> its grid
    fused:     the fused module of the float model -> its parts in order, e.g.
               `model.layers.0.self_attn.qkv_proj` -> (`…q_proj`, `…k_proj`, `…v_proj`)
    embedding: the input embedding's module, when ids are looked up in the codes of the output layer, which
               it was tied to; there is no float table then. Empty when the embedding stays as it was.
    excluded:  what was left as it was by the user's choice: parts of names, or `re:` and an expression
    marks:     module -> what was marked for it, of those that are still float (see `quantize/marks.py`)
    """

    grid: Grid
    overrides: Mapping[str, Grid] = field(default_factory=dict)
    fused: Mapping[str, Sequence[str]] = field(default_factory=dict)
    lm_head: bool = False
    algorithm: str = ""
    tied: bool = False
    """The float model's lm_head was its embedding."""
    embedding: str = ""
    excluded: Sequence[str] = ()
    marks: Mapping[str, Mapping[str, int | bool]] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        return {
            "quant_method": METHOD,
            "bits": self.grid.bits,
            "group_size": self.grid.group_size,
            "symmetric": self.grid.symmetric,
            "lm_head": self.lm_head,
            "embeds": bool(self.embedding),
            "modules_to_not_convert": list(self.excluded) or None,
            "overrides": {
                module: {"bits": g.bits, "group_size": g.group_size, "symmetric": g.symmetric}
                for module, g in sorted(self.overrides.items())
            },
            "algorithm": self.algorithm,
            "fused": {module: list(parts) for module, parts in sorted(self.fused.items())},
            "tied": self.tied,
            **({"embedding": self.embedding} if self.embedding else {}),
            **(
                {"marks": {module: dict(given) for module, given in self.marks.items()}} if self.marks else {}
            ),
        }

    @staticmethod
    def from_json(config: Mapping[str, object]) -> QuantizationConfig:
        """From the whole `config.json`. Raises UserError when it is not of this layout."""
        if not is_quantized(config):
            raise UserError(f"The model is not quantized by quant_method {METHOD!r}.")
        try:
            block = _Block.model_validate(ModelConfig(config).quantization)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise UserError(
                f"quantization_config in config.json is damaged: {place}: {first['msg']}.",
                "Quantize the model again.",
            ) from None
        grid = Grid(block.bits, block.group_size, block.symmetric)
        return QuantizationConfig(
            grid=grid,
            overrides={
                module: Grid(
                    given.get("bits", grid.bits),
                    given.get("group_size", grid.group_size),
                    bool(given.get("symmetric", grid.symmetric)),
                )
                for module, given in (block.overrides or {}).items()
            },
            fused=block.fused or {},
            lm_head=block.lm_head,
            algorithm=block.algorithm,
            tied=block.tied,
            embedding=block.embedding,
            excluded=block.modules_to_not_convert or (),
            marks=block.marks or {},
        )

    def grid_of(self, module: str) -> Grid:
        return self.overrides.get(module, self.grid)


def forget_loader(config: object) -> None:
    """Take from transformers' object for config.json what keeps transformers from opening it as it is."""
    for key in LOADER:
        if hasattr(config, key):
            delattr(config, key)


def is_quantized(config: Mapping[str, object]) -> bool:
    """Whether a `config.json` describes a checkpoint in this layout."""
    return ModelConfig(config).quantization.get("quant_method") == METHOD


class QuantizedCheckpoint:
    """Read a quantized checkpoint as the float one that it stands for, tensor by tensor.

    with QuantizedCheckpoint(folder) as checkpoint:
        for name in checkpoint.names():          # `model.layers.0.self_attn.qkv_proj.weight`, …
            tensor = checkpoint.read(name)       # float32, dequantized where it was quantized
    """

    def __init__(self, folder: Path) -> None:
        config = read_config(folder).document
        self.config = QuantizationConfig.from_json(config)
        self._checkpoint = Checkpoint(folder)
        self._part_of = {part: whole for whole, parts in self.config.fused.items() for part in parts}

    def names(self) -> list[str]:
        """The float model's tensors. A tied lm_head that was quantized has a name of its own here."""
        found: dict[str, None] = {}
        for stored in self._checkpoint.names():
            module, _, kind = stored.rpartition(".")
            if kind in ("scales", "qzeros"):
                continue
            name = f"{self._part_of.get(module, module)}.{'weight' if kind == 'qweight' else kind}"
            found[name] = None
        if self.config.embedding:
            found[f"{self.config.embedding}.weight"] = None
        return list(found)

    def read(self, name: str) -> Tensor:
        """One tensor of the float model; float32 where it was quantized, else as it is stored."""
        module, _, kind = name.rpartition(".")
        if module == self.config.embedding:
            module = "lm_head"
        if module in self.config.fused:
            return torch.cat([self.read(f"{part}.{kind}") for part in self.config.fused[module]])
        if kind == "weight" and f"{module}.qweight" in self._checkpoint:
            return self.codes(module).dequantize()
        return read_tensor(self._checkpoint, name)

    def codes(self, module: str) -> Codes:
        """The codes of one stored module."""
        return read_codes(self._checkpoint, module, self.config.grid_of(module))

    def close(self) -> None:
        self._checkpoint.close()

    def __enter__(self) -> QuantizedCheckpoint:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_codes(checkpoint: Checkpoint, module: str, grid: Grid) -> Codes:
    """The codes of a module that is stored in this layout."""
    packed = read_tensor(checkpoint, f"{module}.qweight")
    values = unpack(packed, grid.bits, packed.shape[1] * 8 // grid.bits)
    scales = read_tensor(checkpoint, f"{module}.scales").float()
    if f"{module}.qzeros" not in checkpoint:
        return Codes(values, scales, None, grid)
    zeros = unpack(read_tensor(checkpoint, f"{module}.qzeros"), grid.bits, scales.shape[1])
    return Codes(values, scales, zeros, grid)


def read_weight(folder: Path, module: str) -> Tensor:
    """The weight of one module (`model.layers.0.mlp.down_proj`) as float32 (out, in)."""
    with QuantizedCheckpoint(folder) as checkpoint:
        return checkpoint.read(f"{module}.weight")
