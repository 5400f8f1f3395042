"""Checkpoints in the quantized layouts in which models are published: fp8 by blocks, and mxfp4."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

_FP4 = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])


def as_fp8(folder: Path, block: tuple[int, int] = (32, 32)) -> Path:
    """Turn the projections of a float model into fp8 with a scale for each block, as DeepSeek and Qwen do."""
    file = folder / "model.safetensors"
    tensors = load_file(file)
    for name in list(tensors):
        if name.endswith("_proj.weight"):
            tensors[name], tensors[f"{name}_scale_inv"] = _fp8(tensors[name].float(), *block)
    save_file(tensors, file, metadata={"format": "pt"})
    section = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic"}
    _mark(folder, {**section, "weight_block_size": list(block)})
    return folder


def as_mxfp4(folder: Path) -> Path:
    """Turn the experts of a GPT-OSS into mxfp4."""
    file = folder / "model.safetensors"
    tensors = load_file(file)
    for name in list(tensors):
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            tensors[f"{name}_blocks"], tensors[f"{name}_scales"] = _mxfp4(tensors.pop(name).float())
    save_file(tensors, file, metadata={"format": "pt"})
    kept = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
    _mark(folder, {"quant_method": "mxfp4", "modules_to_not_convert": kept})
    return folder


def _fp8(weight: torch.Tensor, high: int, wide: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes (rows, columns) and scales (rows / high, columns / wide), the last blocks cut."""
    rows, columns = weight.shape
    padded = torch.nn.functional.pad(weight, (0, -columns % wide, 0, -rows % high))
    blocks = padded.reshape(padded.shape[0] // high, high, padded.shape[1] // wide, wide)
    scales = blocks.abs().amax((1, 3)).clamp(min=1e-12) / 448
    codes = (blocks / scales[:, None, :, None]).reshape(padded.shape)[:rows, :columns]
    return codes.to(torch.float8_e4m3fn).contiguous(), scales


def _mxfp4(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes (experts, rows, columns / 32, 16) and exponents (experts, rows, columns / 32) of what transformers
    holds as (experts, columns, rows)."""
    turned = weight.transpose(1, 2).contiguous()
    experts, rows, columns = turned.shape
    blocks = turned.reshape(experts, rows, columns // 32, 32)
    exponents = torch.floor(torch.log2(blocks.abs().amax(-1).clamp(min=1e-12))) - 2
    scaled = blocks / exponents.exp2()[..., None]
    codes = (scaled.abs()[..., None] - _FP4).abs().argmin(-1).to(torch.uint8) | (scaled < 0).to(
        torch.uint8
    ) * 8
    return codes[..., 0::2] | codes[..., 1::2] << 4, (exponents + 127).to(torch.uint8)


def _mark(folder: Path, section: Mapping[str, Any]) -> None:
    file = folder / "config.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**document, "quantization_config": section}), encoding="utf-8")
