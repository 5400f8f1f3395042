"""Whether a merged model says what base + adapter says: logits on a few tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol, cast

import numpy as np

from modelpress.api import Artifact, PassContext, PassError, TextModel
from modelpress_plugins.hf.config import ModelConfig
from modelpress_plugins.hf.four_bits import trained_bits

LIMITS: Mapping[str, float] = {"F32": 1e-3, "F64": 1e-3, "F16": 0.02, "BF16": 0.1}
"""Largest relative difference of the logits that rounding the merged weights to a dtype explains. A weight is
off by up to 2^-9 of itself in bfloat16, 2^-12 in float16; layers add up to a few times that."""

_NAMES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}

_TOKENS = 16


class _Logits(Protocol):
    """A numpy float32 array (tokens, vocabulary)."""


def logits(model: Artifact, config: ModelConfig, ctx: PassContext) -> _Logits:
    """Logits on the same few tokens for every model. Opens the model and closes it."""
    vocabulary = config.vocabulary or 256
    ids = [(i * 7919 + 1) % vocabulary for i in range(_TOKENS)]
    loaded = cast(TextModel, ctx.load(model))
    try:
        return cast(_Logits, np.array(loaded.logits(ids), dtype=np.float32))
    finally:
        loaded.close()


def difference(found: _Logits, wanted: _Logits) -> float:
    """|found - wanted| / |wanted|, both less their mean in each row (which changes no probability)."""
    one, two = (np.asarray(v) - np.asarray(v).mean(axis=-1, keepdims=True) for v in (found, wanted))
    return float(np.linalg.norm(one - two) / max(float(np.linalg.norm(two)), 1e-12))


def exact_reference(adapter: Artifact) -> Artifact:
    """The adapter, to be opened so that its 4-bit base is multiplied in float32, whatever training used."""
    bits = {**(trained_bits(adapter.meta) or {}), "bnb_4bit_compute_dtype": "float32"}
    return replace(adapter, meta=replace(adapter.meta, extra={**adapter.meta.extra, "quantization": bits}))


def coarser(dtype: str, trained: str) -> str:
    """The one of two dtypes that rounds more, by its safetensors name. trained: by torch's name."""
    return max(dtype, _NAMES.get(trained, "BF16"), key=lambda name: LIMITS.get(name, LIMITS["BF16"]))


def check(measured: float, dtype: str) -> None:
    """Raise PassError when the difference is more than rounding to the dtype explains."""
    limit = LIMITS.get(dtype, LIMITS["BF16"])
    if not measured <= limit:
        raise PassError(
            f"The merged model does not say what base + adapter says: its logits differ by {measured:.2%}, "
            f"and rounding to {dtype} explains {limit:.2%} at most.",
            "Please report it, with the model's architecture and adapter_config.json.",
        )
