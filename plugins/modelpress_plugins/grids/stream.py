"""Write a quantized checkpoint tensor by tensor, the largest in blocks of rows: no model is ever built."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from torch import Tensor

from modelpress.api import Artifact, Checkpoint, CheckpointWriter, PassError, UserError, refusal
from modelpress_plugins.grids.given import Given
from modelpress_plugins.grids.grid import Codes, Grid
from modelpress_plugins.grids.nearest import round_to_nearest
from modelpress_plugins.grids.row_blocks import read_weight_rows, row_blocks
from modelpress_plugins.grids.targets import Choice, Part, Target, Targets, find_targets
from modelpress_plugins.hf.config import LOADER, ModelConfig, changed_document, read_config
from modelpress_plugins.hf.files import copy_companions
from modelpress_plugins.hf.quantized import (
    QuantizationConfig,
    declared_tensors,
    is_quantized,
    tensors_of,
)
from modelpress_plugins.hf.tied import contradicts
from modelpress_plugins.tensors.bytes import FLOATS, TORCH_DTYPES, as_bytes, check_finite, read_tensor
from modelpress_plugins.tensors.ordered_threads import StripThreads

Rounder = Callable[[Tensor, Grid], Codes]
"""Quantize some rows of a weight, float32 (rows, in), without data."""

ROWS_ELEMENTS = 2**19
"""Elements that are rounded at once: 2 MiB as float32, which stays in a core's cache."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was done. bits_per_weight: of the quantized weights, scales and zero points counted."""

    modules: int
    weights: int
    bits_per_weight: float
    nbytes: int
    dropped: tuple[str, ...]
    smaller_groups: tuple[str, ...]
    """Modules whose inputs the chosen group does not divide; they got a smaller one."""
    tied: bool
    shares_embedding: bool


Pieces = Callable[[Target, Part], Iterator[Mapping[str, Tensor]]]
"""The tensors of a part as they are stored, from the first row to the last, some rows at a time."""


def quantize_checkpoint(
    source: Path,
    out: Path,
    *,
    rounder: Rounder = round_to_nearest,
    algorithm: str = "rtn",
    bits: int = 4,
    block_size: int = 32,
    symmetric: bool = True,
    lm_head: bool = True,
    progress: Callable[[int, int, str], None] = lambda done, total, unit: None,
) -> Report:
    """Quantize a float checkpoint without data.

    algorithm: how config.json calls the rounder.
    out: a folder, made when missing; gets the weights, `config.json` and the files beside the model.
    Raises UserError for a checkpoint that cannot be quantized, PassError when the disk is full; then
    no weights file and no config.json is left in out.
    """
    choice = Choice(Grid(bits, block_size, symmetric), lm_head)
    return stream_model(source, out, choice, rounder, algorithm, progress)


def stream_model(
    model: Artifact | Path,
    out: Path,
    choice: Choice,
    rounder: Rounder,
    algorithm: str,
    progress: Callable[[int, int, str], None],
    marks: Mapping[str, Given] = MappingProxyType({}),
) -> Report:
    """Quantize with a rounder that needs no data; what a quantizer of ours has left, when the checkpoint is
    quantized already. Memory: a few blocks of rows for each thread. marks: see `write_model`."""
    source = model.path if isinstance(model, Artifact) else model
    config: Mapping[str, object] = read_config(source).document
    if not is_quantized(config):
        _refuse_quantized(config)
    with Checkpoint(source) as checkpoint, StripThreads() as threads:
        targets = find_targets(checkpoint, config, choice)

        def pieces(target: Target, part: Part) -> Iterator[Mapping[str, Tensor]]:
            def quantize(rows: tuple[int, int]) -> Mapping[str, Tensor]:
                weight = read_weight_rows(checkpoint, target.tensor, *rows)
                return tensors_of(part.module, rounder(weight, part.grid))

            blocks = row_blocks(part.start, part.stop, target.columns, ROWS_ELEMENTS)
            return threads.map(quantize, blocks)

        return write_model(model, checkpoint, config, out, targets, algorithm, pieces, {}, progress, marks)


def read_float_config(source: Path) -> Mapping[str, object]:
    """`config.json` of a model that is not quantized yet. Raises UserError otherwise."""
    config: Mapping[str, object] = read_config(source).document
    _refuse_quantized(config)
    return config


def _refuse_quantized(config: Mapping[str, object]) -> None:
    facts = ModelConfig(config)
    if facts.quantization:
        method = facts.quant_method or "something unknown"
        raise UserError(
            f"The model is already quantized (by {method}).",
            "Give the float model to the quantizer. Rtn, KQuant and Hqq take what another quantizer of "
            "modelpress has left: the output layer.",
        )


def write_model(
    model: Artifact | Path,
    checkpoint: Checkpoint,
    config: Mapping[str, object],
    out: Path,
    targets: Targets,
    algorithm: str,
    pieces: Pieces,
    changed: Mapping[str, Tensor],
    progress: Callable[[int, int, str], None],
    marks: Mapping[str, Given] = MappingProxyType({}),
) -> Report:
    """Write the whole folder. changed: float tensors that are no longer what they were (norms). marks: what
    was marked for modules; of those that stay float it is kept in `config.json`, for a quantizer to come."""
    by_name = {target.tensor: target for target in targets.all}
    kept = set(kept_tensors(checkpoint, targets))
    writer = CheckpointWriter(out, _declare(checkpoint, targets, by_name, kept))
    with writer:
        for done, name in enumerate(checkpoint.names()):
            progress(done, len(checkpoint), "tensors")
            if name in kept:
                _copy_float(checkpoint, writer, name, changed, targets.biases.get(name, ()))
            if name in by_name:
                _write_target(writer, by_name[name], pieces)
        stored = targets.config(algorithm)
        quantized = {part.module for target in targets.all for part in target.parts}
        if contradicts(checkpoint, ModelConfig(config)):
            config = changed_document(ModelConfig(config), untied=True)
        left = {module: given for module, given in marks.items() if module not in quantized}
        _write_beside(model, out, config, replace(stored, marks=left))
    progress(len(checkpoint), len(checkpoint), "tensors")
    return _report(targets, writer.nbytes)


def kept_tensors(checkpoint: Checkpoint, targets: Targets) -> list[str]:
    """The tensors that stay as they are; a tied embedding does, and is quantized as the output layer too."""
    is_looked_up = targets.tied and not targets.shares_embedding
    gone = {t.tensor for t in targets.all if not (is_looked_up and t.layer is None)} | set(targets.dropped)
    return [name for name in checkpoint.names() if name not in gone]


def written_size(checkpoint: Checkpoint, targets: Targets) -> int:
    """Bytes of the weights files that `write_model` would write."""
    by_name = {target.tensor: target for target in targets.all}
    kept = set(kept_tensors(checkpoint, targets))
    return CheckpointWriter.size_of(_declare(checkpoint, targets, by_name, kept))


def _declare(
    checkpoint: Checkpoint, targets: Targets, by_name: Mapping[str, Target], kept: Collection[str]
) -> list[tuple[str, str, tuple[int, ...]]]:
    declared: list[tuple[str, str, tuple[int, ...]]] = []
    for name in checkpoint.names():
        info = checkpoint.info(name)
        if name in targets.biases:
            for part in targets.biases[name]:
                declared.append((f"{part.module}.bias", info.dtype, (part.stop - part.start,)))
        elif name in kept:
            declared.append((name, info.dtype, info.shape))
        if target := by_name.get(name):
            for part in target.parts:
                shape = (part.stop - part.start, target.columns)
                declared += declared_tensors(part.module, part.grid, shape)
    return declared


def _copy_float(
    checkpoint: Checkpoint,
    writer: CheckpointWriter,
    name: str,
    changed: Mapping[str, Tensor],
    bias_parts: tuple[Part, ...],
) -> None:
    info = checkpoint.info(name)
    if bias_parts:
        bias = changed.get(name, read_tensor(checkpoint, name)).to(TORCH_DTYPES[info.dtype])
        check_finite(bias, name)
        for part in bias_parts:
            writer.write(f"{part.module}.bias", as_bytes(bias[part.start : part.stop]))
    elif name in changed:
        writer.write(name, as_bytes(changed[name].to(TORCH_DTYPES[info.dtype])))
    elif info.dtype in FLOATS and len(info.shape) == 2:
        for start, stop in row_blocks(0, *info.shape):
            rows = read_tensor(checkpoint, name, slice(start, stop))
            check_finite(rows, name)
            writer.write(name, as_bytes(rows))
    elif info.dtype in FLOATS:
        tensor = read_tensor(checkpoint, name)
        check_finite(tensor, name)
        writer.write(name, as_bytes(tensor))
    else:
        writer.copy(checkpoint, name)


def _write_target(writer: CheckpointWriter, target: Target, pieces: Pieces) -> None:
    for part in target.parts:
        for piece in pieces(target, part):
            for name, tensor in piece.items():
                writer.write(name, as_bytes(tensor))


def _write_beside(
    model: Artifact | Path, out: Path, config: Mapping[str, object], quantization: QuantizationConfig
) -> None:
    document = {**config, **LOADER, "quantization_config": quantization.to_json()}
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    try:
        copy_companions(model, out)
        (out / "config.json").write_text(text, encoding="utf-8")
    except OSError as error:
        (out / "config.json").unlink(missing_ok=True)
        raise PassError(*refusal(f"{out} cannot be written", error)) from error


def _report(targets: Targets, nbytes: int) -> Report:
    parts = [(t, p) for t in targets.all for p in t.parts]
    weights = sum((p.stop - p.start) * t.columns for t, p in parts)
    stored = sum((p.stop - p.start) * t.columns * p.grid.bits_per_weight for t, p in parts)
    wanted = targets.choice.grid.group_size
    return Report(
        modules=len(parts),
        weights=weights,
        bits_per_weight=stored / weights,
        nbytes=nbytes,
        dropped=targets.dropped,
        smaller_groups=tuple(p.module for _, p in parts if p.grid.group_size < wanted),
        tied=targets.tied,
        shares_embedding=targets.shares_embedding,
    )
