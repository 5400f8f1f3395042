"""What is said of one module, apart from the others. Light: plans import it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Given: TypeAlias = Mapping[str, int | bool]
"""Some of bits, group_size and symmetric."""
