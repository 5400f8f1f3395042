"""bitsandbytes' 4-bit layers (QLoRA's NF4 and FP4), made to say the same on every processor.

Where a CPU has AVX512-BF16, a `Linear4bit` in eval mode repacks its weight in place. From then on it
multiplies in bfloat16 whatever the compute type, gives no gradient to what lies before it, though training
may go on after an evaluation, and fails on widths that do not divide by its block
(bitsandbytes 0.49 to 0.50).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from modelpress.api import JSONValue, Meta

_SWITCH = "support_avx512bf16_for_cpu"
"""The attribute of a Linear4bit that decides it; there is none in bitsandbytes before 0.49."""


def compute_as_everywhere(model: torch.nn.Module) -> None:
    """Make a model's 4-bit layers dequantize and multiply in their compute type. Others stay as they are."""
    for module in model.modules():
        if hasattr(module, _SWITCH):
            setattr(module, _SWITCH, False)


def trained_bits(meta: Meta) -> Mapping[str, JSONValue] | None:
    """How the base was held in 4 bits while this adapter was trained: the arguments of transformers'
    BitsAndBytesConfig; None when it was not."""
    bits = meta.extra.get("quantization")
    return bits if isinstance(bits, Mapping) and bits else None
