"""Logits of a checkpoint in fp32, computed from its files block by block: the model is never in memory.

The architecture is transformers' own, built without weights. Its linear layers and embeddings are then
replaced by ones that read their rows when they are asked for, and dequantize them on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PretrainedConfig

from modelpress.api import Checkpoint
from modelpress_plugins.grids.grid import Codes, Grid
from modelpress_plugins.grids.nearest import round_to_nearest
from modelpress_plugins.grids.row_blocks import row_blocks
from modelpress_plugins.hf.bare_model import bare_model, open_config
from modelpress_plugins.hf.names import LoadedNames
from modelpress_plugins.hf.quantized import QuantizationConfig, is_quantized, unpack
from modelpress_plugins.tensors.bytes import read_tensor
from modelpress_plugins.tensors.ordered_threads import StripThreads

_BLOCK = 2**19
"""Weights that are in memory at once: 2 MiB as fp32, which stay in a core's cache."""

HEAD = "lm_head"
Replaced = Callable[[str, int, int], Tensor | None]
"""(module or tensor of experts of the checkpoint, first row, row after the last) -> fp32 rows."""


class NoReferenceError(Exception):
    """Logits cannot be computed here; the message says why."""


@torch.no_grad()
def reference_logits(
    folder: Path,
    ids: Sequence[int],
    *,
    trust_remote_code: bool = False,
    embedding_from_head: bool = False,
    rounded: Grid | None = None,
    replaced: Replaced | None = None,
) -> NDArray[np.float32]:
    """float32 (len(ids), vocabulary) of the model in a folder, float or of the layout `olive`.

    embedding_from_head: look ids up in the quantized lm_head, as a model with shared embeddings does.
    rounded: of a float model, with what is multiplied rounded to nearest on this grid.
    replaced: gives rows of what is multiplied in the place of the checkpoint's; None for those that stay.
    Raises NoReferenceError when the checkpoint is of another layout or its names are not transformers'.
    """
    config = open_config(folder, trust_remote_code=trust_remote_code, attention="eager")
    written = config.to_dict()
    if getattr(config, "quantization_config", None) is not None:
        if not is_quantized(written):
            raise NoReferenceError("its quantized layout is read by the builder only")
        del config.quantization_config
    with Checkpoint(folder) as checkpoint, StripThreads() as threads:
        quantization = QuantizationConfig.from_json(written) if is_quantized(written) else None
        weights = Weights(
            checkpoint,
            quantization,
            embedding_from_head,
            threads,
            rounded,
            replaced,
            trust_remote_code=trust_remote_code,
        )
        model = _streamed_model(config, weights, trust_remote_code)
        logits: Tensor = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]
    return logits.float().numpy()


class Weights:
    """The matrices of a checkpoint by the names of transformers' modules, as fp32 rows."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        quantization: QuantizationConfig | None,
        embedding_from_head: bool,
        threads: StripThreads,
        rounded: Grid | None = None,
        replaced: Replaced | None = None,
        *,
        trust_remote_code: bool = False,
    ) -> None:
        self.checkpoint = checkpoint
        self._quantization = quantization
        self._embedding_from_head = embedding_from_head
        self._threads = threads
        self._rounded = rounded
        self._trusted = trust_remote_code
        self._loaded: LoadedNames | None = None
        self._replaced = replaced

    def stored(self, module: str, fallback: str = "") -> list[str]:
        """Under what names the checkpoint holds a module: its own, its parts', or that it is tied to."""
        fused = self._quantization.fused if self._quantization else {}
        for names in (list(fused.get(module, ())), [module], [fallback]):
            if names and all(self._holds(name) for name in names):
                return names
        for name in filter(None, (module, fallback)):
            if found := self._renamed(f"{name}.weight").removesuffix(".weight"):
                return [found]
        raise NoReferenceError(f"the checkpoint has no tensor {module}.weight")

    def embedding(self, module: str) -> str:
        """Where ids are looked up."""
        if self._embedding_from_head and f"{HEAD}.qweight" in self.checkpoint:
            return HEAD
        return self.stored(module)[0]

    def product(self, x: Tensor, stored: str) -> Tensor:
        """x @ weight.T, the weight read some rows at a time."""
        kind = "qweight" if f"{stored}.qweight" in self.checkpoint else "weight"
        columns = x.shape[-1]
        spans = row_blocks(0, self.checkpoint.info(f"{stored}.{kind}").shape[0], columns, _BLOCK)
        return torch.cat(
            list(self._threads.map(lambda span: x @ self._multiplied(stored, *span).T, spans)), dim=-1
        )

    def looked_up(self, stored: str, i: int) -> Tensor:
        """A row of an embedding; of the head's rounded one where they share it."""
        return (
            self._multiplied(stored, i, i + 1) if self._embedding_from_head else self.rows(stored, i, i + 1)
        )

    def _multiplied(self, stored: str, start: int, stop: int) -> Tensor:
        """rows(), on the grid that a reference is rounded to, or those that stand in their place."""
        if self._replaced and (instead := self._replaced(stored, start, stop)) is not None:
            return instead
        found = self.rows(stored, start, stop)
        grid = self._rounded
        if grid is None:
            return found
        padding = -found.shape[1] % grid.group_size
        padded = nn.functional.pad(found, (0, padding)).contiguous()
        return round_to_nearest(padded, grid).dequantize()[:, : found.shape[1]]

    def rows(self, stored: str, start: int, stop: int) -> Tensor:
        """fp32 (stop - start, columns)."""
        wanted = slice(start, stop)
        if f"{stored}.qweight" not in self.checkpoint or self._quantization is None:
            return read_tensor(self.checkpoint, f"{stored}.weight", wanted).float()
        grid = self._quantization.grid_of(stored)
        packed = read_tensor(self.checkpoint, f"{stored}.qweight", wanted)
        scales = read_tensor(self.checkpoint, f"{stored}.scales", wanted).float()
        zeros = None
        if f"{stored}.qzeros" in self.checkpoint:
            packed_zeros = read_tensor(self.checkpoint, f"{stored}.qzeros", wanted)
            zeros = unpack(packed_zeros, grid.bits, scales.shape[1])
        values = unpack(packed, grid.bits, packed.shape[1] * 8 // grid.bits)
        return Codes(values.contiguous(), scales, zeros, grid).dequantize()

    def expert(self, name: str, index: int) -> Tensor:
        """fp32 of one expert, of a tensor that holds all of a layer's."""
        if self._replaced and (instead := self._replaced(name, index, index + 1)) is not None:
            return instead[0]
        return read_tensor(self.checkpoint, name, slice(index, index + 1))[0].float()

    def vector(self, name: str, parts: Sequence[str] = ()) -> Tensor:
        """A small float tensor; of a fused module whose bias was cut, its parts joined."""
        if name in self.checkpoint:
            return read_tensor(self.checkpoint, name).float()
        if parts and all(f"{part}.bias" in self.checkpoint for part in parts):
            return torch.cat([read_tensor(self.checkpoint, f"{part}.bias").float() for part in parts])
        if found := self._renamed(name):
            return read_tensor(self.checkpoint, found).float()
        raise NoReferenceError(f"the checkpoint has no tensor {name}")

    def _renamed(self, tensor: str) -> str:
        """What the checkpoint calls a tensor to which transformers gives another name; empty for none."""
        if self._loaded is None:
            self._loaded = LoadedNames(self.checkpoint.path, self.checkpoint.names(), self._trusted)
        return self._loaded.in_file(tensor)

    def _holds(self, module: str) -> bool:
        return f"{module}.weight" in self.checkpoint or f"{module}.qweight" in self.checkpoint


class StreamedLinear(nn.Module):
    """x (…, in) -> (…, out), with the weight read block by block at each call."""

    def __init__(self, weights: Weights, stored: Sequence[str], bias: Tensor | None) -> None:
        super().__init__()
        self._weights, self._stored, self._bias = weights, stored, bias

    def forward(self, x: Tensor) -> Tensor:
        joined = torch.cat([self._weights.product(x, stored) for stored in self._stored], dim=-1)
        return joined if self._bias is None else joined + self._bias


class StreamedEmbedding(nn.Module):
    """ids (…) -> (…, columns), reading only the rows of these ids."""

    def __init__(self, weights: Weights, stored: str, scale: Tensor | None) -> None:
        super().__init__()
        self._weights, self._stored, self._scale = weights, stored, scale

    def forward(self, ids: Tensor) -> Tensor:
        rows = [self._weights.looked_up(self._stored, i) for i in ids.flatten().tolist()]
        found = torch.cat(rows).view(*ids.shape, -1)
        return found if self._scale is None else found * self._scale


class StreamedExperts:
    """A tensor of a layer's experts: tensor[i] reads the one, when a token comes to it."""

    def __init__(self, weights: Weights, name: str) -> None:
        self._weights, self._name = weights, name

    def __getitem__(self, index: Tensor) -> Tensor:
        return self._weights.expert(self._name, int(index))


def _streamed_model(config: PretrainedConfig, weights: Weights, trust_remote_code: bool) -> nn.Module:
    config._experts_implementation = "eager"  # one expert after another
    model: Any = bare_model(config, trust_remote_code=trust_remote_code)
    inputs, outputs = model.get_input_embeddings(), model.get_output_embeddings()
    names = {id(module): name for name, module in model.named_modules()}
    tied = {id(outputs): names[id(inputs)]} if outputs is not None else {}
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear):
            stored = weights.stored(name, tied.get(id(module), ""))
            bias = None if module.bias is None else weights.vector(f"{name}.bias", stored)
            model.set_submodule(name, StreamedLinear(weights, stored, bias))
        elif isinstance(module, nn.Embedding):
            scale = getattr(module, "embed_scale", None)
            model.set_submodule(name, StreamedEmbedding(weights, weights.embedding(name), scale))
    for name, parameter in list(model.named_parameters()):
        owner, _, own_name = name.rpartition(".")
        if owner.endswith(".experts") and parameter.dim() == 3 and name in weights.checkpoint:
            if (found := weights.checkpoint.info(name).shape) != parameter.shape:
                raise NoReferenceError(f"{name} is {found}, expected {tuple(parameter.shape)}")
            module = model.get_submodule(owner)
            delattr(module, own_name)
            setattr(module, own_name, StreamedExperts(weights, name))
            continue
        value = weights.vector(name)
        if value.shape != parameter.shape:
            raise NoReferenceError(f"{name} is {tuple(value.shape)}, expected {tuple(parameter.shape)}")
        setattr(model.get_submodule(owner), own_name, nn.Parameter(value, requires_grad=False))
    return model  # type: ignore[no-any-return]
