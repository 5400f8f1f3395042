"""What a check of this installation found: the core's own, or a plugin's of a library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "note", "warning", "broken"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. area: what it is about, a word or two; hint: what to do. Only `broken` makes
    `modelpress doctor` fail."""

    area: str
    verdict: Verdict
    text: str
    hint: str = ""
