"""The work. Heavy imports stand here, at the top, and nowhere else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import torch

from modelpress.api import Artifact, Checkpoint, CheckpointWriter, PassContext, PassError

from .config import CastDtypeOptions

_TORCH = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_NAMES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}


def cast_dtype(model: Artifact, config: CastDtypeOptions, ctx: PassContext) -> Artifact:
    """Write the model to ctx.out with every floating weight in config.dtype.

    One tensor at a time: memory does not grow with the model. Raises PassError, naming the tensor, when a
    finite value becomes infinite.
    """
    target = _NAMES[config.dtype]
    with Checkpoint(model.path) as source:
        infos = [source.info(name) for name in source.names()]
        layout = [(t.name, target if t.dtype in _TORCH else t.dtype, t.shape) for t in infos]
        with CheckpointWriter(ctx.out, layout) as writer:
            for done, info in enumerate(infos, start=1):
                if info.dtype in (target, *_without(_TORCH, info.dtype)):
                    writer.copy(source, info.name)
                else:
                    data = source.read(info.name)
                    writer.write(info.name, _cast(info.name, data, _TORCH[info.dtype], _TORCH[target]))
                ctx.progress(done, len(infos), "tensors")
    _copy_other_files(model.path, ctx.out, config.dtype)
    return ctx.artifact("hf-model", meta=model.meta)


def _without(floats: Iterable[str], dtype: str) -> tuple[str, ...]:
    """The dtype itself when it is not a floating one: such tensors are copied."""
    return () if dtype in floats else (dtype,)


def _cast(name: str, data: memoryview, before: torch.dtype, after: torch.dtype) -> memoryview:
    if not len(data):
        return data
    tensor = torch.frombuffer(data, dtype=before)
    result = tensor.to(after)
    if bool((result.isinf() & tensor.isfinite()).any()):
        raise PassError(
            f"Tensor {name} holds {float(tensor.abs().max()):g}, past the largest {after}.",
            "Choose bfloat16, whose range is that of float32.",
        )
    return result.view(torch.uint8).numpy().data


def _copy_other_files(source: Path, target: Path, dtype: str) -> None:
    """Tokenizer, generation settings and so on; config.json says the new dtype."""
    for path in sorted(source.iterdir()):
        if path.is_file() and ".safetensors" not in path.name and path.name != "modelpress.json":
            shutil.copyfile(path, target / path.name)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config.pop("torch_dtype", None)
    text = json.dumps({**config, "dtype": dtype}, indent=2, ensure_ascii=False) + "\n"
    (target / "config.json").write_text(text, encoding="utf-8")
