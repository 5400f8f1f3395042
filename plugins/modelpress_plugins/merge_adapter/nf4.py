"""The base as a 4-bit training run saw it: each linear weight quantized by bitsandbytes and back.

QLoRA trains an adapter against dequant(NF4(W)), not against W (https://arxiv.org/abs/2305.14314).
"""

from __future__ import annotations

from dataclasses import dataclass

import bitsandbytes.functional as bnb
import torch
from torch import Tensor

from modelpress.api import Meta
from modelpress_plugins.hf.four_bits import trained_bits

_BLOCK = 64  # bitsandbytes' own default, which transformers does not change


@dataclass(frozen=True, slots=True)
class FourBits:
    """How training held the base. dtype: what the weights were cast to before they were quantized."""

    quant_type: str
    double_quant: bool
    dtype: torch.dtype

    @staticmethod
    def from_meta(meta: Meta) -> FourBits:
        """From an adapter's meta."""
        bits = trained_bits(meta) or {}
        return FourBits(
            quant_type=str(bits.get("bnb_4bit_quant_type", "fp4")),
            double_quant=bool(bits.get("bnb_4bit_use_double_quant", False)),
            dtype=getattr(torch, str(meta.extra.get("dtype", "float32"))),
        )

    def weight_in_training(self, original: Tensor) -> Tensor:
        """What training saw of a weight (out, in), before it rounded that to what it computed in; float32."""
        packed, state = bnb.quantize_4bit(
            original.to(self.dtype).contiguous(),
            blocksize=_BLOCK,
            compress_statistics=self.double_quant,
            quant_type=self.quant_type,
        )
        state.dtype = torch.float32
        in_training: Tensor = bnb.dequantize_4bit(packed, state)
        return in_training.view(original.shape)
