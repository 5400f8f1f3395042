"""The plugin's entry module: what it brings, and nothing heavy. Listing passes imports this and no more."""

from __future__ import annotations

from collections.abc import Iterable

from modelpress.api import PassSpec, hookimpl

MODELPRESS_API = 1


@hookimpl
def modelpress_passes() -> Iterable[PassSpec]:
    return [
        PassSpec(
            name="CastDtype",
            summary="Store the floating weights of a model in another dtype, tensor by tensor.",
            accepts=("hf-model",),
            produces="hf-model",
            run="modelpress_hello.run:cast_dtype",
            config="modelpress_hello.config:CastDtypeOptions",
            plan="modelpress_hello.plan:plan",
            requires=("torch",),
            extra="cpu",
        )
    ]
