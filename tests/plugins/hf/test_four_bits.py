"""4-bit layers compute the same on a processor with AVX512-BF16 and on one without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from modelpress.artifact import Meta
from modelpress.testing import input_artifact, make_tiny_model
from modelpress_plugins.hf.open import load_hf_model

BITS = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": "float32"}
IDS = list(range(3, 19))
ODD = 136
"""A width that divides neither by 32, bitsandbytes' block of rows, nor by 64, its block of a scale."""


def opened(folder: Path, **bits: Any) -> Any:
    from dataclasses import replace

    artifact = input_artifact(folder, "hf-model")
    return load_hf_model(replace(artifact, meta=Meta(extra={"quantization": {**BITS, **bits}})), "cpu")


def dequantized_by_hand(model: Any) -> Any:
    """The same model with each 4-bit layer replaced by the float layer that it stands for."""
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit

    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, Linear4bit):
                plain = torch.nn.Linear(layer.in_features, layer.out_features, bias=False)
                plain.weight.data = dequantize_4bit(layer.weight.data, layer.weight.quant_state).float()
                setattr(parent, name, plain)
    return model


def distance(found: Any, wanted: Any) -> float:
    return float(torch.linalg.norm(found - wanted) / torch.linalg.norm(wanted))


@pytest.mark.parametrize("width", [96, ODD])
@pytest.mark.parametrize("double_quant", [False, True])
def test_logits_are_those_of_the_dequantized_weights(
    processor: str, tmp_path: Path, width: int, double_quant: bool
) -> None:
    folder = make_tiny_model(tmp_path / "model", intermediate_size=width)
    model = opened(folder, bnb_4bit_use_double_quant=double_quant)
    found = torch.from_numpy(model.logits(IDS))
    with torch.no_grad():
        wanted = dequantized_by_hand(model.model)(torch.tensor([IDS])).logits[0]
    assert distance(found, wanted) < 1e-6  # the same float32 sums, perhaps in another order


def test_an_untouched_model_shows_what_the_processor_does(processor: str, tmp_path: Path) -> None:
    """If this fails, bitsandbytes has changed, and `compute_as_everywhere` may be no longer needed."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    def raw(width: int) -> Any:
        folder = make_tiny_model(tmp_path / str(width), intermediate_size=width, hidden_size=128)
        bits = BitsAndBytesConfig(**BITS)
        return AutoModelForCausalLM.from_pretrained(folder, quantization_config=bits, device_map="cpu").eval()

    ids = torch.tensor([IDS])
    model = raw(128)
    with torch.no_grad():
        found = model(ids).logits[0]
        wanted = dequantized_by_hand(opened(tmp_path / "128").model)(ids).logits[0]
    coarse = processor == "avx512-bf16"
    assert (distance(found, wanted) > 1e-3) == coarse
    if coarse:
        with pytest.raises((AssertionError, RuntimeError)), torch.no_grad():
            raw(ODD)(ids)
