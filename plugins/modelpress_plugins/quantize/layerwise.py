"""Quantize with calibration data: one decoder layer at a time, each kept on disk as soon as it is done.

The inputs of a layer come from the layers before it as they are already quantized. An interrupted run takes
up the finished layers from their files, runs the data through them once more, and goes on with the same
numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from modelpress.api import Artifact, Checkpoint, CheckpointWriter, PassError, finished, mark_finished
from modelpress_plugins.grids.given import Given
from modelpress_plugins.grids.grid import Codes, Grid
from modelpress_plugins.grids.row_blocks import read_weight_rows, row_blocks
from modelpress_plugins.grids.stream import Report, write_model
from modelpress_plugins.grids.targets import Part, Target, Targets
from modelpress_plugins.hf.quantized import KINDS, declared_tensors, read_codes, stored_names, tensors_of
from modelpress_plugins.quantize.activations import Activations
from modelpress_plugins.quantize.decoder import LayeredDecoder
from modelpress_plugins.quantize.inputs import InputStatistics
from modelpress_plugins.quantize.layer import EVERY_KIND, GROUPS, LayerView
from modelpress_plugins.tensors.bytes import SAFETENSORS_NAMES, as_bytes, read_tensor
from modelpress_plugins.tensors.release import give_back_memory

HEAD_ELEMENTS = 2**22
"""Elements of the output layer that are quantized at once."""


class Algorithm(Protocol):
    """A calibrated way to quantize. prepares: whether it changes a layer before."""

    prepares: ClassVar[bool]

    def prepare(self, layer: LayerView) -> dict[str, Tensor]:
        """Change the layer's weights before they are quantized, in place, such that the model computes the
        same; the float tensors changed, by their names in the checkpoint."""

    def quantize(self, weight: Tensor, grid: Grid, inputs: InputStatistics) -> Codes:
        """weight: float32 (out, in)."""


@dataclass(slots=True)
class Calibration:
    """What a calibrated run works with.

    batches:    ids (rows, length)
    sequential: gather the inputs of each projection after those before it in the layer are quantized
    limit:      bytes of activations that may be in memory
    scratch:    for activations past the limit
    finished:   where finished layers are kept until the end
    refused:    changes that were left out because they would not have preserved what a layer computes
    """

    batches: Sequence[Tensor]
    sequential: bool
    limit: int
    scratch: Path
    finished: Path
    progress: Callable[[int, int, str], None]
    note: Callable[[str], None]
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def tokens(self) -> int:
        return sum(batch.numel() for batch in self.batches)


def quantize_layerwise(
    model: Artifact,
    checkpoint: Checkpoint,
    decoder: LayeredDecoder,
    config: Mapping[str, object],
    out: Path,
    targets: Targets,
    algorithm: Algorithm,
    name: str,
    calibration: Calibration,
    marks: Mapping[str, Given],
) -> Report:
    """Quantize the layers, then the output layer, then write the whole model to out."""
    total = len(decoder) + (targets.lm_head is not None)
    with torch.no_grad():
        hidden = first_activations(decoder, calibration)
        for index in range(len(decoder)):
            calibration.progress(index, total, "layers")
            is_needed = index + 1 < len(decoder) or targets.lm_head is not None
            _do_layer(decoder, index, targets, hidden, algorithm, calibration, go_on=is_needed)
        if targets.lm_head is not None:
            calibration.progress(total - 1, total, "layers")
            _quantize_head(checkpoint, decoder, targets.lm_head, hidden, algorithm, calibration)
    return _assemble(model, checkpoint, config, out, targets, name, calibration, marks)


def first_activations(decoder: LayeredDecoder, calibration: Calibration) -> Activations:
    """The embedded ids."""
    hidden: Activations | None = None
    shapes = [(batch.shape[0], batch.shape[1]) for batch in calibration.batches]
    for at, embedded in enumerate(decoder.embed(calibration.batches)):
        if hidden is None:
            hidden = Activations(shapes, embedded.shape[-1], calibration.limit, calibration.scratch)
        hidden[at].copy_(embedded)
    assert hidden is not None
    return hidden


def _do_layer(
    decoder: LayeredDecoder,
    index: int,
    targets: Targets,
    hidden: Activations,
    algorithm: Algorithm,
    calibration: Calibration,
    *,
    go_on: bool,
) -> None:
    """Quantize a layer, or take it from its file; to go on, let the data through it."""
    view = LayerView(decoder.layer(index), decoder.name(index), targets.of_layer(index))

    def forward(batch: Tensor) -> Tensor:
        return decoder.run(view.module, index, batch.to(decoder.device))

    file = calibration.finished / f"layer-{index:05d}.safetensors"
    if finished(file, calibration.note) is None:
        _quantize_layer(view, forward, hidden, algorithm, calibration, file)
    elif go_on:
        _restore(view, file)
    if go_on:
        for batch in hidden:
            batch.copy_(forward(batch))
        give_back_memory(collect=False)


def _quantize_layer(
    view: LayerView,
    forward: Callable[[Tensor], Tensor],
    hidden: Activations,
    algorithm: Algorithm,
    calibration: Calibration,
    file: Path,
) -> None:
    changed: dict[str, Tensor] = {}
    if algorithm.prepares or not calibration.sequential:
        view.gather(forward, hidden, calibration.tokens, EVERY_KIND)
        if algorithm.prepares:
            changed = _prepare(view, forward, hidden[0], algorithm)
            calibration.refused.update(view.refused)
        give_back_memory(collect=False)
    done: dict[str, Codes] = {}
    for at, group in enumerate(GROUPS):
        if calibration.sequential and (at or not algorithm.prepares):
            view.gather(forward, hidden, calibration.tokens, group)
        for part in view.parts(group):
            codes = algorithm.quantize(part.weight, part.grid, view.inputs_of(part))
            done[part.name] = codes
            part.weight.copy_(codes.dequantize())
        view.forget_inputs(group)
        give_back_memory(collect=False)
    tensors = {n: t for module, codes in done.items() for n, t in tensors_of(module, codes).items()}
    _save(file, {**tensors, **{n: t.float().cpu() for n, t in changed.items()}})


def _prepare(
    view: LayerView, forward: Callable[[Tensor], Tensor], batch: Tensor, algorithm: Algorithm
) -> dict[str, Tensor]:
    """Let the algorithm change the layer. Raises PassError when it then computes something else."""
    view.remember_function(forward, batch)
    changed = algorithm.prepare(view)
    if not view.computes_the_same():
        raise PassError(
            f"{view.prefix}: what was to prepare the layer for quantizing changes what it computes.",
            "Use another quantizer, e.g. Gptq, and please report it with the model's config.json.",
        )
    return changed


def _restore(view: LayerView, file: Path) -> None:
    """Bring a layer into the state in which it was when its file was written."""
    with Checkpoint(file) as stored:
        for name in stored.names():
            if not name.endswith((".qweight", ".scales", ".qzeros")):
                view.set_float(name, read_tensor(stored, name))
        for part in view.parts():
            part.weight.copy_(read_codes(stored, part.name, part.grid).dequantize())


def _quantize_head(
    checkpoint: Checkpoint,
    decoder: LayeredDecoder,
    head: Target,
    hidden: Activations,
    algorithm: Algorithm,
    calibration: Calibration,
) -> None:
    """In blocks of rows: the rows of a weight are quantized each by itself."""
    file = calibration.finished / "lm_head.safetensors"
    if finished(file, calibration.note) is not None:
        return
    norm = decoder.norm()
    inputs = InputStatistics(head.columns, calibration.tokens, decoder.device)
    for batch in hidden:
        inputs.add(norm(batch.to(decoder.device)))
    inputs.finish()
    (part,) = head.parts
    declared = declared_tensors(part.module, part.grid, (head.rows, head.columns))
    with CheckpointWriter(calibration.finished, declared, stem="lm_head") as writer:
        for start, stop in row_blocks(0, head.rows, head.columns, HEAD_ELEMENTS):
            weight = read_weight_rows(checkpoint, head.tensor, start, stop).to(decoder.device)
            codes = algorithm.quantize(weight, part.grid, inputs)
            for name, tensor in tensors_of(part.module, codes).items():
                writer.write(name, as_bytes(tensor.cpu()))
    mark_finished(file)


def _save(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """All or nothing: the file gets its name when it is whole."""
    declared = [(n, SAFETENSORS_NAMES[t.dtype], tuple(t.shape)) for n, t in tensors.items()]
    with CheckpointWriter(file.parent, declared, stem=file.stem) as writer:
        for name, tensor in tensors.items():
            writer.write(name, as_bytes(tensor.cpu()))
    mark_finished(file)


def _assemble(
    model: Artifact,
    checkpoint: Checkpoint,
    config: Mapping[str, object],
    out: Path,
    targets: Targets,
    name: str,
    calibration: Calibration,
    marks: Mapping[str, Given],
) -> Report:
    stored = {file.stem: Checkpoint(file) for file in sorted(calibration.finished.glob("*.safetensors"))}
    try:
        changed = {
            tensor: read_tensor(piece, tensor)
            for piece in stored.values()
            for tensor in piece.names()
            if tensor.rpartition(".")[2] not in KINDS
        }

        def pieces(target: Target, part: Part) -> Iterator[Mapping[str, Tensor]]:
            file = stored["lm_head" if target.layer is None else f"layer-{target.layer:05d}"]
            yield {name: read_tensor(file, name) for name in stored_names(part.module, file)}

        return write_model(
            model, checkpoint, config, out, targets, name, pieces, changed, calibration.progress, marks
        )
    finally:
        for piece in stored.values():
            piece.close()
