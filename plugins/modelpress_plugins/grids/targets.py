"""Which tensors of a model are quantized, what they are called afterwards, and on which grid each goes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from modelpress.api import Checkpoint, UserError
from modelpress_plugins.grids.given import Given
from modelpress_plugins.grids.grid import Grid
from modelpress_plugins.hf.config import ModelConfig
from modelpress_plugins.hf.quantized import QuantizationConfig, is_quantized
from modelpress_plugins.tensors.bytes import FLOATS

SMALLEST_GROUP = 16
"""What MatMulNBits takes at least."""

LARGEST_GROUP = 256
"""And at most: a row that is to be one group (-1) is cut into groups of this."""

WHOLE_ROW = -1
"""group_size: all weights of a row share a scale."""

_LINEAR = re.compile(r"^(.*\.)?layers\.(\d+)\.(self_attn|mlp)\.(qkv|q|k|v|o|gate_up|gate|up|down)_proj$")
_EMBEDDINGS = ("model.embed_tokens.weight", "model.language_model.embed_tokens.weight")


@dataclass(frozen=True, slots=True)
class Part:
    """Rows [start, stop) of a source tensor that become the module `module`."""

    module: str
    start: int
    stop: int
    grid: Grid


@dataclass(frozen=True, slots=True)
class Target:
    """A tensor to be quantized. tensor: its name in the source; module: that without `.weight`.
    layer: the decoder layer's number; None for the lm_head."""

    tensor: str
    module: str
    columns: int
    parts: tuple[Part, ...]
    layer: int | None

    @property
    def rows(self) -> int:
        return self.parts[-1].stop


@dataclass(frozen=True, slots=True)
class Choice:
    """What the user chose for a whole model.

    embeds:    where the input embedding is tied to the output layer: look ids up in its codes
    overrides: module -> {bits, group_size, symmetric}; a key is a name, or `re:` and a regular expression
    excluded:  modules left as they are: part of a name, or `re:` and a regular expression
    """

    grid: Grid
    lm_head: bool = True
    embeds: bool = False
    overrides: Mapping[str, Given] = field(default_factory=dict)
    excluded: Sequence[str] = ()

    def grid_of(self, module: str, columns: int) -> Grid:
        """The grid of a module of so many inputs: the group is halved until it divides them.

        Raises UserError when no group of 16 or more does.
        """
        given = self.given_for(module)
        group_size = given.get("group_size", self.grid.group_size)
        if group_size == WHOLE_ROW:
            group_size = LARGEST_GROUP
        while columns % group_size and group_size > SMALLEST_GROUP:
            group_size //= 2
        if columns % group_size:
            raise UserError(
                f"{module} has {columns} inputs, which no block of {SMALLEST_GROUP} or more divides.",
                "Such a model cannot be quantized in blocks; leave it in float16.",
            )
        symmetric = bool(given.get("symmetric", self.grid.symmetric))
        return Grid(given.get("bits", self.grid.bits), group_size, symmetric)

    def given_for(self, module: str) -> Given:
        """What the first override that names a module says."""
        return next((v for k, v in self.overrides.items() if _names(k, module)), {})


@dataclass(frozen=True, slots=True)
class Targets:
    """Everything that is quantized in a checkpoint, in the order of its tensors.

    tied:    the lm_head is the embedding, so that tensor is read twice: once as each
    dropped: tensors that belong to no part of the model
    """

    all: tuple[Target, ...]
    tied: bool
    dropped: tuple[str, ...]
    choice: Choice
    fused: Mapping[str, Sequence[str]]
    embedding: str
    biases: Mapping[str, tuple[Part, ...]]
    """Bias tensors of fused modules -> the parts they are cut into."""
    before: QuantizationConfig | None = None
    """What the checkpoint says of those of its modules that are quantized already."""

    def of_layer(self, layer: int) -> list[Target]:
        return [t for t in self.all if t.layer == layer]

    @property
    def lm_head(self) -> Target | None:
        return next((t for t in self.all if t.layer is None), None)

    @property
    def head_tensor(self) -> str:
        """The tensor of the output layer, quantized or not."""
        return self.embedding if self.tied else "lm_head.weight"

    @property
    def shares_embedding(self) -> bool:
        """Whether ids are looked up in the codes of the output layer from now on."""
        return self.choice.embeds and self.tied and self.lm_head is not None

    def config(self, algorithm: str) -> QuantizationConfig:
        """The block for `config.json`."""
        before = self.before
        parts = [part for target in self.all for part in target.parts]
        grid = before.grid if before else _stored_grid(self.choice.grid)
        return QuantizationConfig(
            grid=grid,
            overrides={
                **(before.overrides if before else {}),
                **{part.module: part.grid for part in parts if part.grid != grid},
            },
            fused=self.fused,
            lm_head=self.lm_head is not None or bool(before and before.lm_head),
            algorithm=f"{before.algorithm}, {algorithm}" if before else algorithm,
            tied=self.tied,
            embedding=self.embedding.removesuffix(".weight")
            if self.shares_embedding
            else (before.embedding if before else ""),
        )


def _stored_grid(grid: Grid) -> Grid:
    return replace(grid, group_size=LARGEST_GROUP) if grid.group_size == WHOLE_ROW else grid


def find_targets(checkpoint: Checkpoint, config: Mapping[str, object], choice: Choice) -> Targets:
    """Look through a checkpoint; what is quantized already stays. Raises UserError when nothing can be
    quantized."""
    facts = ModelConfig(config)
    layers = facts.layers
    before = QuantizationConfig.from_json(config) if is_quantized(config) else None
    tied = before.tied if before else _is_tied(checkpoint, facts)
    found: list[Target] = []
    fused: dict[str, Sequence[str]] = dict(before.fused) if before else {}
    biases: dict[str, tuple[Part, ...]] = {}
    dropped: list[str] = []
    for name in checkpoint.names():
        if _is_extra(name, layers, tied):
            dropped.append(name)
            continue
        target = _target(checkpoint, name, facts, choice, tied)
        if target is None:
            continue
        found.append(target)
        if len(target.parts) > 1:
            fused[target.module] = tuple(part.module for part in target.parts)
            if f"{target.module}.bias" in checkpoint:
                biases[f"{target.module}.bias"] = target.parts
    if before and not found:
        raise UserError(
            "Everything that is chosen is quantized already.",
            "Choose what is left: `lm_head: true`, and `embeds: true` where the model ties the two.",
        )
    if not before and not any(t.layer is not None for t in found):
        raise UserError(
            "The checkpoint has no decoder layers that can be quantized "
            "(`…layers.N.self_attn.*_proj`, `…layers.N.mlp.*_proj`).",
            "Models of this architecture are not supported; leave it in float16.",
        )
    embedding = next((n for n in _EMBEDDINGS if n in checkpoint), "")
    return Targets(tuple(found), tied, tuple(dropped), choice, fused, embedding, biases, before)


def _target(
    checkpoint: Checkpoint, name: str, facts: ModelConfig, choice: Choice, tied: bool
) -> Target | None:
    info = checkpoint.info(name)
    module = name.removesuffix(".weight")
    if tied and name in _EMBEDDINGS:
        module = "lm_head"
    if module == name or len(info.shape) != 2 or info.dtype not in FLOATS:
        return None
    if any(_contains(pattern, module) for pattern in choice.excluded):
        return None
    rows, columns = info.shape
    if module == "lm_head":
        if not choice.lm_head or "lm_head.qweight" in checkpoint:
            return None
        part = Part(module, 0, rows, choice.grid_of(module, columns))
        return Target(name, module, columns, (part,), None)
    if not (match := _LINEAR.match(module)):
        return None
    parts, start = [], 0
    for part_name, count in _cut(module, match[4], rows, facts):
        parts.append(Part(part_name, start, start + count, choice.grid_of(part_name, columns)))
        start += count
    return Target(name, module, columns, tuple(parts), int(match[2]))


def _cut(module: str, kind: str, rows: int, facts: ModelConfig) -> list[tuple[str, int]]:
    """(name, rows) of the parts of a module; itself when it is not fused."""
    if kind == "gate_up":
        parts = [("gate", rows // 2), ("up", rows // 2)]
    elif kind == "qkv":
        size = facts.head_size
        parts = [("q", facts.heads * size), ("k", facts.kv_heads * size), ("v", facts.kv_heads * size)]
    else:
        return [(module, rows)]
    if sum(count for _, count in parts) != rows:
        raise UserError(
            f"{module} has {rows} rows, but by config.json its parts have {[c for _, c in parts]}.",
            "Does config.json belong to these weights?",
        )
    stem = module.removesuffix(f"{kind}_proj")
    return [(f"{stem}{part}_proj", count) for part, count in parts]


def _is_tied(checkpoint: Checkpoint, facts: ModelConfig) -> bool:
    """Whether the output layer is the embedding. `tie_word_embeddings` alone does not tell: transformers
    writes only what differs from an architecture's default."""
    return (facts.tied is not False and "lm_head.weight" not in checkpoint) or facts.tied is True


def _is_extra(name: str, layers: int, tied: bool) -> bool:
    """Whether a tensor is none of the model's own: transformers ignores it, the builder stumbles on it."""
    if name == "lm_head.weight" and tied:
        return True
    if not name.startswith(("model.", "lm_head.")) or name.endswith(".rotary_emb.inv_freq"):
        return True
    match = re.search(r"\.layers\.(\d+)\.", name)
    return bool(match and int(match[1]) >= layers)


def _names(pattern: str, module: str) -> bool:
    return _matches(pattern, module) if pattern.startswith("re:") else pattern == module


def _contains(pattern: str, module: str) -> bool:
    return _matches(pattern, module) if pattern.startswith("re:") else pattern in module


def _matches(pattern: str, module: str) -> bool:
    return re.fullmatch(pattern.removeprefix("re:"), module) is not None
