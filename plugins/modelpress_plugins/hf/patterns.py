"""How options name modules: by name, or by `re:` and a regular expression for the whole path."""

from __future__ import annotations

import re

_EXPRESSION = "re:"


def names(pattern: str, module: str) -> bool:
    """Whether a pattern is the module's own name, or an expression for it."""
    return _matches(pattern, module) if pattern.startswith(_EXPRESSION) else pattern == module


def contains(pattern: str, module: str) -> bool:
    """Whether a pattern is a part of the module's name, or an expression for it."""
    return _matches(pattern, module) if pattern.startswith(_EXPRESSION) else pattern in module


def _matches(pattern: str, module: str) -> bool:
    return re.fullmatch(pattern.removeprefix(_EXPRESSION), module) is not None
