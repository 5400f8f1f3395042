"""The parts of a search: all that is open at once, or one pass after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from modelpress.json_types import Scalar
from modelpress.search import Axis, Candidate


@dataclass(frozen=True, slots=True)
class Stage:
    """number: from 1. axes: what is open in it; fixed: what was decided before it, and the first value of
    what comes after it."""

    number: int
    axes: tuple[Axis, ...]
    fixed: Mapping[str, Scalar]

    def whole(self, candidate: Candidate, axes: Sequence[Axis]) -> Candidate:
        """The candidate of the whole search. axes: of the whole search."""
        found: dict[str, Scalar] = {}
        for axis in axes:
            if not axis.is_active(found):
                continue
            found[axis.name] = candidate.get(axis.name, self.fixed.get(axis.name, axis.first))
        return found


def stages(axes: Sequence[Axis], order: str) -> list[list[Axis]]:
    """The axes of each stage: those of one pass each, in the order of the passes; what is open beside passes
    comes first."""
    if order == "joint":
        return [list(axes)]
    groups: dict[str, list[Axis]] = {}
    for axis in axes:
        parts = axis.name.split(".")
        group = parts[1] if parts[0] == "passes" and len(parts) > 1 else ""
        groups.setdefault(group, []).append(axis)
    return [groups[name] for name in sorted(groups, key=lambda name: (name != "", list(groups).index(name)))]


def open_stage(number: int, axes: Sequence[Axis], best: Candidate) -> Stage:
    """A stage in which the axes are open, with the rest as in the best candidate so far."""
    names = {axis.name for axis in axes}
    return Stage(number, tuple(_within(axes, names, best)), {n: v for n, v in best.items() if n not in names})


def _within(axes: Sequence[Axis], names: set[str], best: Candidate) -> Iterator[Axis]:
    """The axes with the conditions that are still open, without those that what is decided rules out."""
    for axis in axes:
        decided = {name: allowed for name, allowed in axis.when.items() if name not in names}
        if all(name in best and best[name] in allowed for name, allowed in decided.items()):
            yield replace(axis, when={name: axis.when[name] for name in axis.when if name in names})
