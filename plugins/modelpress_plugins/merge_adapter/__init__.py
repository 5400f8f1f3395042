"""Merge an adapter into its base, tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterable

from modelpress.api import PassSpec, hookimpl
from modelpress_plugins.ranges import TORCH

MODELPRESS_API = 1


@hookimpl
def modelpress_passes() -> Iterable[PassSpec]:
    return [
        PassSpec(
            name="MergeAdapterWeights",
            summary="Merge a LoRA, DoRA, LoHa or LoKr adapter into its base model, tensor by tensor.",
            accepts=("hf-adapter",),
            produces="hf-model",
            run="modelpress_plugins.merge_adapter.run:merge_adapter",
            config="modelpress_plugins.merge_adapter.config:MergeAdapterOptions",
            plan="modelpress_plugins.merge_adapter.plan:plan",
            requires=(TORCH,),
            extra="train",
        )
    ]
