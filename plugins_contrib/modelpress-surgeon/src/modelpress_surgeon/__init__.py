"""A surgeon of another distribution: its options, and where its code is. Light."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from modelpress.api import Options


class RemoveDropout(Options):
    """Dropout, which does nothing while a model is used, goes."""

    run: ClassVar[str] = "modelpress_surgeon.code:remove_dropout"
    keep: tuple[str, ...] = Field(default=(), description="Nodes that stay, by name.")
