"""Which modules of a model the option target_modules means. Light: the plan asks it of tensor names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from modelpress_plugins.hf.families import Experts

ALL_LINEAR = "all-linear"


def unmatched(target_modules: Sequence[str] | str, modules: Iterable[str]) -> list[str]:
    """The targets that no module answers to. A name matches a whole path or its last parts, a single text
    is a regular expression for the whole path, `all-linear` matches whatever there is."""
    if target_modules == ALL_LINEAR:
        return []
    paths = list(modules)
    if isinstance(target_modules, str):
        pattern = re.compile(target_modules)
        return [] if any(pattern.fullmatch(path) for path in paths) else [target_modules]
    return [name for name in target_modules if not any(is_named(path, name) for path in paths)]


def is_named(path: str, name: str) -> bool:
    """`model.layers.0.mlp.up_proj` is named `up_proj`, `mlp.up_proj`, … and by its whole path."""
    return path == name or path.endswith(f".{name}")


def last_names(modules: Iterable[str]) -> str:
    """What a user may choose from: the last parts of the paths, each once, for a message."""
    return ", ".join(sorted({path.rpartition(".")[2] for path in modules}))


def joined_experts(target_modules: Sequence[str] | str, experts: Experts | None) -> bool:
    """Whether the targets are layers of experts of which transformers 5 makes one parameter each: peft then
    adapts that parameter. experts: of the model's family."""
    if experts is None or not experts.numbered:
        return False
    if target_modules == ALL_LINEAR:
        return True
    return len(unmatched(target_modules, expert_paths(experts))) < (
        1 if isinstance(target_modules, str) else len(target_modules)
    )


def expert_paths(experts: Experts) -> list[str]:
    """What the layers of the first expert are called in the checkpoint, and were in older transformers."""
    return [f"model.layers.0.{experts.path}.0.{name}" for name in experts.roles.values()]
