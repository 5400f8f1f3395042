"""Which modules of a model the option target_modules means. Light: the plan asks it of tensor names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

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
