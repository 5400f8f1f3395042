"""Options of MergeAdapterWeights."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from modelpress.api import Options, Size


class MergeAdapterOptions(Options):
    """How to merge; none of it is needed."""

    merge_base: Literal["auto", "original", "dequantized"] = Field(
        default="auto",
        description="What the adapter is added to when it was trained on a 4-bit base (QLoRA): the original "
        "weights, or those that training saw, that is quantized to 4 bits and back. auto measures which is "
        "nearer to what training saw.",
    )
    max_shard_size: Size = Field(
        default="5GB", description='Largest weight file: bytes, or text like "500MB", "5GB", "2GiB".'
    )
    verify: Literal["auto", "required", "never"] = Field(
        default="auto",
        description="Compare the logits of the merged model with base + adapter on a few tokens. auto does "
        "it for models under 1 GB.",
    )
