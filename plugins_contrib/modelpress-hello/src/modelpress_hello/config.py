"""What users may write under the pass."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from modelpress.api import Options


class CastDtypeOptions(Options):
    """How to store the weights."""

    dtype: Literal["float32", "float16", "bfloat16"] = Field(
        default="float16", description="The dtype of every floating weight of the result."
    )
