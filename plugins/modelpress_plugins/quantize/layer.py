"""A decoder layer as a calibrated quantizer sees it: its linear parts, their inputs, what feeds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from torch import Tensor, nn

from modelpress_plugins.grids.grid import Grid
from modelpress_plugins.grids.targets import Part, Target
from modelpress_plugins.quantize.inputs import InputStatistics

GROUPS = (("q", "k", "v", "qkv"), ("o",), ("gate", "up", "gate_up"), ("down",))
"""Projections that have the same inputs, in the order in which they run."""

SAME = 1e-3
"""How far a layer may move when its function is to be preserved: a share of what it adds to its input.
float32 rounding through a scale and back stays far below."""

EVERY_KIND = tuple(kind for group in GROUPS for kind in group)


class _FarEnough(Exception):
    """Ends the pass of a batch through the layer."""


@dataclass(slots=True)
class LinearPart:
    """Some rows of a linear module. weight, bias: views; changing them changes the layer."""

    name: str
    """Of the module in the quantized checkpoint."""
    role: str
    """As in hf/families: `q`, `gate_up`, …"""
    linear_name: str
    """Of the module in the layer, e.g. `self_attn.qkv_proj`."""
    weight: Tensor
    bias: Tensor | None
    grid: Grid
    first_row: int

    @property
    def rows(self) -> int:
        return self.weight.shape[0]


class LayerView:
    """module: a decoder layer with float32 weights. prefix: of its tensors' names, with the dot."""

    def __init__(self, module: nn.Module, prefix: str, targets: Sequence[Target]) -> None:
        self.module = module
        self.prefix = prefix
        self._parts: dict[str, LinearPart] = {}
        self._inputs: dict[str, InputStatistics] = {}
        self._fed_by: dict[str, str] = {}
        self._moved: Callable[[], float] = lambda: 0.0
        self.refused: list[str] = []
        """Changes that would not have preserved what the layer computes, and were left out."""
        for target in targets:
            linear_name = target.module.removeprefix(prefix)
            linear = module.get_submodule(linear_name)
            for part in target.parts:
                self._parts[part.role] = _linear_part(linear, linear_name, part)

    @property
    def head_size(self) -> int:
        return int(self.module.self_attn.head_dim)  # type: ignore[union-attr, arg-type]

    def groups(self) -> Sequence[Sequence[str]]:
        return GROUPS

    def parts(self, kinds: Iterable[str] | None = None) -> list[LinearPart]:
        """In the order in which they run; only those of the given kinds (`q`, `down`, …)."""
        wanted = EVERY_KIND if kinds is None else [kind for kind in EVERY_KIND if kind in kinds]
        return [self._parts[kind] for kind in wanted if kind in self._parts]

    def part(self, kind: str) -> LinearPart | None:
        return self._parts.get(kind)

    def inputs_of(self, part: LinearPart) -> InputStatistics:
        return self._inputs[_group_of(part.role)]

    def forget_inputs(self, kinds: Iterable[str]) -> None:
        """Free what was gathered of the inputs of those projections."""
        for kind in kinds:
            self._inputs.pop(_group_of(kind), None)

    def norms(self) -> Iterator[tuple[str, nn.Module]]:
        """The norms that feed projections, with their names in the layer."""
        for name in dict.fromkeys(self._fed_by.values()):
            yield name, self.module.get_submodule(name)

    def readers_of(self, norm: str) -> list[LinearPart]:
        """The projections whose inputs are the norm's outputs."""
        return [p for kind, p in self._parts.items() if self._fed_by.get(_group_of(kind)) == norm]

    def floats(self, name: str, only: str = "") -> dict[str, Tensor]:
        """Parameters of a module, by their names in the float checkpoint; only: one of them."""
        module = self.module.get_submodule(name)
        return {
            f"{self.prefix}{name}.{key}": value.detach()
            for key, value in module.named_parameters(recurse=False)
            if not only or key == only
        }

    def set_float(self, name: str, value: Tensor) -> None:
        """Set a parameter by its name in the float checkpoint."""
        self.module.get_parameter(name.removeprefix(self.prefix)).data.copy_(value)

    def remember_function(self, forward: Callable[[Tensor], Tensor], batch: Tensor) -> None:
        """Keep what the layer makes of a batch as it is now, for `computes_the_same`."""
        before = forward(batch).clone()
        given = batch.to(before.device)
        # Most of a layer's output is its input passed on: an error is measured against what it adds.
        size = SAME * float((before - given).norm()) + 1e-6 * float(before.norm())
        self._moved = lambda: float((forward(batch) - before).norm()) / size

    def computes_the_same(self) -> bool:
        """Whether the layer makes of the remembered batch what it made then."""
        return self._moved() <= 1  # false for NaN

    def gather(
        self,
        forward: Callable[[Tensor], Tensor],
        batches: Iterable[Tensor],
        tokens: int,
        kinds: Sequence[str],
        *,
        to_the_end: bool = False,
    ) -> None:
        """Run the batches and keep statistics of the inputs of those projections. to_the_end: of the layer;
        else a batch goes only as far as these inputs need it."""
        parts = self.parts(kinds)
        if not parts:
            return
        inputs: dict[str, InputStatistics] = {}
        produced: dict[str, Tensor] = {}
        hooks = []
        for name, module in self.module.named_modules():
            if "norm" in name.rpartition(".")[2]:
                hooks.append(module.register_forward_hook(_remember(produced, name)))
        missing: set[str] = set()

        def watch(group: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
            def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
                for name, output in produced.items():
                    if output is args[0]:
                        self._fed_by[group] = name
                inputs[group].add(args[0])
                missing.discard(group)
                if not missing and not to_the_end:
                    raise _FarEnough

            return hook

        for part in parts:
            group = _group_of(part.role)
            if group not in inputs:
                linear = self.module.get_submodule(part.linear_name)
                inputs[group] = InputStatistics(part.weight.shape[1], tokens, str(part.weight.device))
                hooks.append(linear.register_forward_pre_hook(watch(group)))
        try:
            for batch in batches:
                missing.update(inputs)
                with suppress(_FarEnough):
                    forward(batch)
                produced.clear()
        finally:
            for handle in hooks:
                handle.remove()
        for statistics in inputs.values():
            statistics.finish()
        self._inputs.update(inputs)


def _group_of(kind: str) -> str:
    return next(group[0] for group in GROUPS if kind in group)


def _linear_part(linear: nn.Module, linear_name: str, part: Part) -> LinearPart:
    rows = slice(part.start, part.stop)
    weight: Tensor = linear.weight  # type: ignore[assignment]
    bias = getattr(linear, "bias", None)
    return LinearPart(
        part.module,
        part.role,
        linear_name,
        weight.data[rows],
        None if bias is None else bias.data[rows],
        part.grid,
        part.start,
    )


def _remember(produced: dict[str, Tensor], name: str) -> Callable[[nn.Module, object, Tensor], None]:
    def hook(module: nn.Module, args: object, output: Tensor) -> None:
        produced[name] = output

    return hook
