"""Which tensors of a model are quantized, what they are called afterwards, and on which grid each goes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from modelpress.api import Checkpoint, UserError
from modelpress_plugins.grids.given import Given
from modelpress_plugins.grids.grid import Grid
from modelpress_plugins.hf.config import ModelConfig
from modelpress_plugins.hf.families import FUSED, projection_role_of
from modelpress_plugins.hf.patterns import contains, names
from modelpress_plugins.hf.quantized import QuantizationConfig, is_quantized
from modelpress_plugins.hf.tied import embedding_of, head_of, is_tied
from modelpress_plugins.tensors.bytes import FLOATS

SMALLEST_GROUP = 16
"""What MatMulNBits takes at least."""

LARGEST_GROUP = 256
"""And at most: a row that is to be one group (-1) is cut into groups of this."""

WHOLE_ROW = -1
"""group_size: all weights of a row share a scale."""

HEAD = "lm_head"
"""What an output layer that is tied to the embedding is called once it has codes of its own."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows [start, stop) of a source tensor that become the module `module`. role: as in hf/families; empty
    for the output layer."""

    module: str
    role: str
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
        return next((v for k, v in self.overrides.items() if names(k, module)), {})


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
    head_tensor: str
    """The tensor of the output layer, quantized or not."""
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
            excluded=self.choice.excluded or (before.excluded if before else ()),
        )


def _stored_grid(grid: Grid) -> Grid:
    return replace(grid, group_size=LARGEST_GROUP) if grid.group_size == WHOLE_ROW else grid


def find_targets(checkpoint: Checkpoint, config: Mapping[str, object], choice: Choice) -> Targets:
    """Look through a checkpoint; what is quantized already stays. Raises UserError when nothing can be
    quantized."""
    found = _Finder(checkpoint, config, choice).find()
    if found.before and not found.all:
        raise UserError(
            "Everything that is chosen is quantized already.",
            "Choose what is left: `lm_head: true`, and `embeds: true` where the model ties the two.",
        )
    if not found.before and not any(t.layer is not None for t in found.all):
        raise UserError(
            "The checkpoint has no layers that can be quantized: none of its tensors is a projection that is "
            f"known of models of type {ModelConfig(config).model_type or 'unknown'}.",
            "Models of this architecture are not supported; leave it in float16.",
        )
    return found


class _Finder:
    """The row of the architecture tells what a module is; what lies beside the language model is none."""

    def __init__(self, checkpoint: Checkpoint, config: Mapping[str, object], choice: Choice) -> None:
        self._checkpoint = checkpoint
        self._config = ModelConfig(config)
        self._choice = choice
        self._family = self._config.family
        self._before = QuantizationConfig.from_json(config) if is_quantized(config) else None
        self._tied = self._before.tied if self._before else is_tied(checkpoint, self._config)
        self._embedding = embedding_of(checkpoint, self._config)
        self._own_head = head_of(checkpoint, self._config)
        self._head = self._embedding if self._tied else self._own_head or f"{HEAD}.weight"
        self._start = self._embedding.removesuffix(f"{self._family.parts.embedding}.weight")
        self._strict = self._family.builds_quantized or not self._family.known

    def find(self) -> Targets:
        found: list[Target] = []
        fused: dict[str, Sequence[str]] = dict(self._before.fused) if self._before else {}
        biases: dict[str, tuple[Part, ...]] = {}
        dropped: list[str] = []
        for name in self._checkpoint.names():
            if self._is_extra(name):
                dropped.append(name)
                continue
            target = self._target(name)
            if target is None:
                continue
            found.append(target)
            if len(target.parts) > 1:
                fused[target.module] = tuple(part.module for part in target.parts)
                if f"{target.module}.bias" in self._checkpoint:
                    biases[f"{target.module}.bias"] = target.parts
        return Targets(
            tuple(found),
            self._tied,
            tuple(dropped),
            self._choice,
            fused,
            self._embedding,
            self._head,
            biases,
            self._before,
        )

    def _target(self, name: str) -> Target | None:
        info = self._checkpoint.info(name)
        module = name.removesuffix(".weight")
        is_head = name == self._head
        if is_head and self._tied:
            module = HEAD
        if module == name or len(info.shape) != 2 or info.dtype not in FLOATS:
            return None
        if any(contains(pattern, module) for pattern in self._choice.excluded):
            return None
        rows, columns = info.shape
        if is_head:
            if not self._choice.lm_head or f"{HEAD}.qweight" in self._checkpoint:
                return None
            part = Part(module, "", 0, rows, self._choice.grid_of(module, columns))
            return Target(name, module, columns, (part,), None)
        found = projection_role_of(module, self._family)
        if found is None or not module.startswith(self._start) or not self._family.quantizable:
            return None
        parts, start = [], 0
        for part_name, role, count in _cut(module, found.role, rows, self._config):
            grid = self._choice.grid_of(part_name, columns)
            parts.append(Part(part_name, role, start, start + count, grid))
            start += count
        return Target(name, module, columns, tuple(parts), found.layer)

    def _is_extra(self, name: str) -> bool:
        """Whether it is none of the model's own: transformers ignores it, the builder stumbles on it."""
        if self._tied and name == self._own_head:
            return True
        others = self._strict and "text_config" not in self._config.document
        if others and not name.startswith((self._start or "model.", f"{HEAD}.")):
            return True
        match = re.search(rf"\.{self._family.parts.layers}\.(\d+)\.", name)
        beyond = match is not None and name.startswith(self._start) and int(match[1]) >= self._config.layers
        return beyond or name.endswith(".rotary_emb.inv_freq")


def _cut(module: str, role: str, rows: int, config: ModelConfig) -> list[tuple[str, str, int]]:
    """(name, role, rows) of the parts of a module; itself when it is not fused, or not row after row."""
    if role not in FUSED or not module.endswith(f"{role}_proj"):
        return [(module, role, rows)]
    if role == "gate_up":
        counts = [rows // 2, rows // 2]
    else:
        values = config.kv_heads * config.head_size
        counts = [config.heads * config.head_size, values, values]
    if sum(counts) != rows:
        raise UserError(
            f"{module} has {rows} rows, but by config.json its parts have {counts}.",
            "Does config.json belong to these weights?",
        )
    stem = module.removesuffix(f"{role}_proj")
    return [(f"{stem}{part}_proj", part, count) for part, count in zip(FUSED[role], counts, strict=True)]
