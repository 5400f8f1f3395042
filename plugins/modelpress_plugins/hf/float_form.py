"""The float checkpoint that a published quantized one stands for (dequantize): fp8 by blocks, as DeepSeek,
Qwen and Mistral publish, and the mxfp4 of GPT-OSS. Written tensor by tensor: the model is never in memory.

Each number is the one that transformers computes with `dequantize=True`, in the dtype of config.json.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from modelpress.api import Artifact, Checkpoint, CheckpointWriter, UserError
from modelpress_plugins.hf.config import CONFIG, ModelConfig, read_config, write_json
from modelpress_plugins.hf.files import copy_companions
from modelpress_plugins.hf.float_methods import has_float_form, without_quantization
from modelpress_plugins.tensors.bytes import SAFETENSORS_NAMES, as_bytes, read_tensor

_SCALE, _BLOCKS, _SCALES = "_scale_inv", "_blocks", "_scales"
_UNREAD = (_SCALE, ".activation_scale", ".input_scale")
"""Ends of names that no float model has: scales of weights, and of activations, which stay float."""
_FP8 = ("F8_E4M3", "F8_E5M2")
_FP4 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_BIAS = 127
"""Of an exponent that is kept as a byte (E8M0)."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A tensor as it will be, float; `make` gives it piece by piece, front to back. None: it is copied."""

    name: str
    shape: Sequence[int]
    make: Callable[[], Iterator[Tensor]] | None = None


def write_float_form(
    model: Artifact, out: Path, progress: Callable[[int, int, str], None] = lambda *_: None
) -> Path:
    """Write the float model to `out`, with all that lies beside the weights. Raises UserError for a layout
    that is not known."""
    config = read_config(model.path)
    if not has_float_form(config):
        raise UserError(f"No float model is known to what {config.quant_method} quantizes.")
    dtype = _dtype(config)
    with Checkpoint(model.path) as checkpoint:
        parts, kind = list(_parts(checkpoint, config)), SAFETENSORS_NAMES[dtype]
        declared = [(p.name, kind if p.make else checkpoint.info(p.name).dtype, p.shape) for p in parts]
        with CheckpointWriter(out, declared) as writer:
            for done, part in enumerate(parts):
                progress(done, len(parts), "tensors")
                if part.make is None:
                    writer.copy(checkpoint, part.name)
                for piece in part.make() if part.make else ():
                    writer.write(part.name, as_bytes(piece.to(dtype)))
    copy_companions(model, out)
    write_json(out / CONFIG, without_quantization(config, str(dtype).removeprefix("torch.")))
    return out


def _dtype(config: ModelConfig) -> torch.dtype:
    found = getattr(torch, config.dtype, None) if config.dtype else None
    return found if found in (torch.float16, torch.float32) else torch.bfloat16


def _parts(checkpoint: Checkpoint, config: ModelConfig) -> Iterator[_Part]:
    names, block = set(checkpoint.names()), _block(config)
    packed = {name.removesuffix(_BLOCKS) for name in names if name.endswith(_BLOCKS)}
    for name in checkpoint.names():
        info, scaled = checkpoint.info(name), name + _SCALE in names
        if name.endswith(_BLOCKS) and (whole := name.removesuffix(_BLOCKS)) + _SCALES in names:
            experts, rows, blocks, half = info.shape
            yield _Part(whole, (experts, blocks * half * 2, rows), partial(_fp4_experts, checkpoint, whole))
        elif name.endswith(_UNREAD) or name.removesuffix(_SCALES) in packed:
            continue
        elif scaled and info.dtype in _FP8:
            yield _Part(name, info.shape, partial(_fp8, checkpoint, name, block))
        elif scaled or info.dtype in _FP8:
            raise UserError(
                f"{name} is stored as {info.dtype} {'with' if scaled else 'without'} a scale, which is no "
                "layout of fp8 that is known here.",
                "Start from the float model: load it in transformers with `dequantize=True`, and save it.",
            )
        else:
            yield _Part(name, info.shape)


def _block(config: ModelConfig) -> tuple[int, int] | None:
    """Rows and columns that share a scale; None where a whole tensor does."""
    found = config.quantization.get("weight_block_size")
    if isinstance(found, list) and len(found) == 2 and all(isinstance(n, int) and n > 0 for n in found):
        return found[0], found[1]
    return None


def _fp8(checkpoint: Checkpoint, name: str, block: tuple[int, int] | None) -> Iterator[Tensor]:
    """(…, rows, columns) as pieces of fp32, some rows of one matrix at a time."""
    *lead, rows, columns = checkpoint.info(name).shape
    scale = _scale(read_tensor(checkpoint, name + _SCALE))
    single = block is None or scale.numel() == 1
    matrices = scale.reshape(-1, 1, 1) if single else scale.reshape(-1, *scale.shape[-2:])
    count = prod(lead)
    high, wide = block or (rows, columns)
    wanted = (-(-rows // high), -(-columns // wide))
    if len(matrices) not in (1, count) or (matrices[0].numel() > 1 and tuple(matrices.shape[1:]) != wanted):
        raise UserError(
            f"{name}{_SCALE} has the shape {list(scale.shape)}; for blocks of {high} x {wide} of "
            f"{[*lead, rows, columns]} it should end with {list(wanted)}."
        )
    for index in range(count):
        own = matrices[index if len(matrices) > 1 else 0]
        for start in range(0, rows, high):
            stop = min(start + high, rows)
            codes = _matrix_rows(checkpoint, name, index, start, stop)
            line = own[start // high if len(own) > 1 else 0].repeat_interleave(wide)[:columns]
            yield codes.float() * line


def _matrix_rows(checkpoint: Checkpoint, name: str, index: int, start: int, stop: int) -> Tensor:
    shape = checkpoint.info(name).shape
    if len(shape) == 2:
        return read_tensor(checkpoint, name, slice(start, stop))
    return read_tensor(checkpoint, name, slice(index, index + 1))[0][start:stop]


def _scale(stored: Tensor) -> Tensor:
    """As fp32. A byte is an exponent."""
    if stored.dtype == torch.uint8:
        return (stored.float() - _BIAS).exp2()
    return stored.float()


def _fp4_experts(checkpoint: Checkpoint, name: str) -> Iterator[Tensor]:
    """(experts, columns, rows) of fp32, as transformers holds them: one expert at a time, turned."""
    experts, rows, blocks, half = checkpoint.info(name + _BLOCKS).shape
    values = torch.tensor([*_FP4, *(-value for value in _FP4)])
    for expert in range(experts):
        at = slice(expert, expert + 1)
        packed = read_tensor(checkpoint, name + _BLOCKS, at)[0]
        scales = (read_tensor(checkpoint, name + _SCALES, at)[0].float() - _BIAS).exp2()
        codes = torch.stack((packed & 15, packed >> 4), dim=-1).view(rows, blocks, 2 * half)
        yield (values[codes.long()] * scales[..., None]).view(rows, -1).T.contiguous()
