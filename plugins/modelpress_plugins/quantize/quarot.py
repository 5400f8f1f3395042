"""QuaRot, offline: rotate the hidden states so that no channel stands out; the model computes the same.

Ashkboos, Mohtashami, Croci, Li, Cameron, Jaggi, Alistarh, Hoefler, Hensman, "QuaRot: Outlier-Free 4-Bit
Inference in Rotated LLMs" (NeurIPS 2024, arXiv 2404.00456), the parts that need nothing at run time: norm
weights are folded into the projections that follow; the residual stream is rotated (embedding, inputs of
q, k, v, gate, up and the output layer, outputs of o and down); the values of each head are rotated, and
undone in o. The result is a float model of the same architecture, which any quantizer may follow.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from modelpress.api import Artifact, Checkpoint, CheckpointWriter, PassError, UserError, refusal
from modelpress_plugins.grids.row_blocks import row_blocks
from modelpress_plugins.hf.config import CONFIG, ModelConfig, changed_document, read_float_config, write_json
from modelpress_plugins.hf.families import projection_role_of, rotatable
from modelpress_plugins.hf.files import copy_companions
from modelpress_plugins.hf.tied import embedding_of, is_tied
from modelpress_plugins.quantize.decoder import LayeredDecoder
from modelpress_plugins.quantize.layer import SAME
from modelpress_plugins.quantize.rotation import Rotation
from modelpress_plugins.tensors.bytes import TORCH_DTYPES, as_bytes, check_finite, read_tensor

_BEFORE_ATTENTION, _BEFORE_MLP = "input_layernorm", "post_attention_layernorm"
"""The norms of a layer, in every architecture that can be rotated."""

HEAD = "lm_head.weight"


def rotate_model(
    model: Artifact | Path, out: Path, mode: str, seed: int, progress: Callable[[int, int, str], None]
) -> None:
    """Write the rotated model to out, tensor by tensor, in the dtype that each has.

    Raises UserError when the architecture is not known to allow it.
    """
    source = model.path if isinstance(model, Artifact) else model
    config = read_float_config(source)
    if not config.family.rotatable or "text_config" in config.document:
        raise UserError(
            f"Models of type {config.model_type} cannot be rotated.", f"Known: {', '.join(rotatable())}."
        )
    with Checkpoint(source) as checkpoint:
        rotator = _Rotator(checkpoint, config, mode, seed)
        trusted = isinstance(model, Artifact) and model.meta.trust_remote_code
        check_layers(LayeredDecoder(checkpoint, trusted), rotator, config.vocabulary)
        declared = [(n, checkpoint.info(n).dtype, checkpoint.info(n).shape) for n in checkpoint.names()]
        if rotator.tied:
            declared = [d for d in declared if d[0] != HEAD]
            head = checkpoint.info(rotator.embedding)
            declared.append((HEAD, head.dtype, head.shape))
        with CheckpointWriter(out, declared) as writer:
            for done, (name, _, _) in enumerate(declared):
                progress(done, len(declared), "tensors")
                rotator.write(writer, name)
            try:
                copy_companions(model, out)
                write_json(out / CONFIG, changed_document(config, untied=True))
            except OSError as error:
                raise PassError(*refusal(f"{out} cannot be written", error)) from error
        progress(len(declared), len(declared), "tensors")


def check_layers(decoder: LayeredDecoder, rotator: _Rotator, vocabulary: int) -> None:
    """Run some tokens through each layer as it is and as it will be, in float32, before anything is rounded.

    Raises PassError for a layer that would compute something else. Two layers are in memory at a time.
    """
    ids = torch.randint(vocabulary, (1, PROBE_TOKENS), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        (hidden,) = decoder.embed([ids])
        for index in range(len(decoder)):
            layer, turned = decoder.layer(index), decoder.layer(index)
            for name, parameter in turned.named_parameters():
                parameter.data.copy_(rotator.turned(decoder.name(index) + name))
            after = decoder.run(layer, index, hidden)
            moved = decoder.run(turned, index, rotator.hidden(hidden)) - rotator.hidden(after)
            # Most of a layer's output is its input passed on: an error is measured against what it adds.
            allowed = SAME * float((after - hidden).norm()) + 1e-6 * float(after.norm())
            if not float(moved.norm()) <= allowed:  # also for NaN
                raise PassError(
                    f"{decoder.name(index).rstrip('.')} would not compute the same once rotated: it is off "
                    f"by {float(moved.norm() / (after - hidden).norm()):.2g} of what it adds.",
                    "Quantize without QuaRot, and please report it with the model's config.json.",
                )
            hidden = after


PROBE_TOKENS = 32


class _Rotator:
    """What becomes of each tensor."""

    def __init__(self, checkpoint: Checkpoint, config: ModelConfig, mode: str, seed: int) -> None:
        self._checkpoint = checkpoint
        self._family = config.family
        self.tied = is_tied(checkpoint, config)
        self.embedding = embedding_of(checkpoint, config)
        start = self.embedding.removesuffix(f"{self._family.parts.embedding}.weight")
        self._last_norm = f"{start}{self._family.parts.norm}.weight"
        self._values = config.kv_heads * config.head_size
        generator = torch.Generator().manual_seed(seed)
        dense = mode == "random"
        self._stream = Rotation(config.hidden_size, generator, dense)
        self._head = Rotation(config.head_size, generator, dense)

    def write(self, writer: CheckpointWriter, name: str) -> None:
        source = self.embedding if name == HEAD and self.tied else name
        dtype = TORCH_DTYPES[self._checkpoint.info(source).dtype]
        if name in (self.embedding, HEAD):
            self._write_rows(writer, name, source)
        elif self._is_folded(name) or projection_role_of(name.rpartition(".")[0], self._family):
            writer.write(name, as_bytes(self.turned(name).to(dtype)))
        else:
            writer.copy(self._checkpoint, name)

    def turned(self, name: str) -> Tensor:
        """A tensor of a layer as it will be, float32."""
        tensor = read_tensor(self._checkpoint, name).float()
        check_finite(tensor, name)
        if self._is_folded(name):
            return torch.full_like(tensor, 1 - self._family.norm_offset)
        module, _, kind = name.rpartition(".")
        if found := projection_role_of(module, self._family):
            layer = module.removesuffix(self._family.parts.roles[found.role])
            return (
                self._weight(tensor, layer, found.role)
                if kind == "weight"
                else self._bias(tensor, found.role)
            )
        return tensor

    def _is_folded(self, name: str) -> bool:
        folded = (f".{_BEFORE_ATTENTION}.weight", f".{_BEFORE_MLP}.weight")
        return name == self._last_norm or name.endswith(folded)

    def _norm(self, name: str) -> Tensor:
        """What a norm multiplies by."""
        return read_tensor(self._checkpoint, name).float() + self._family.norm_offset

    def hidden(self, states: Tensor) -> Tensor:
        """Hidden states (rows, length, width) as the rotated model has them."""
        return self._stream.rows(states.reshape(-1, states.shape[-1])).view(states.shape)

    def _write_rows(self, writer: CheckpointWriter, name: str, source: str) -> None:
        """Embedding and output layer, in blocks of rows: they are the largest."""
        info = self._checkpoint.info(source)
        norm = self._norm(self._last_norm) if name == HEAD else None
        for start, stop in row_blocks(0, *info.shape):
            rows = read_tensor(self._checkpoint, source, slice(start, stop)).float()
            check_finite(rows, source)
            turned = self._stream.rows(rows if norm is None else rows * norm)
            writer.write(name, as_bytes(turned.to(TORCH_DTYPES[info.dtype])))

    def _weight(self, weight: Tensor, layer: str, kind: str) -> Tensor:
        if kind == "o":
            return self._stream.columns(self._head.heads(weight))
        if kind == "down":
            return self._stream.columns(weight)
        norm = _BEFORE_ATTENTION if kind in ("q", "k", "v", "qkv") else _BEFORE_MLP
        turned = self._stream.rows(weight * self._norm(f"{layer}{norm}.weight"))
        if kind in ("v", "qkv"):
            values = turned[-self._values :]
            turned[-self._values :] = self._head.heads(values.T.contiguous()).T
        return turned

    def _bias(self, bias: Tensor, kind: str) -> Tensor:
        if kind in ("o", "down"):
            return self._stream.rows(bias.unsqueeze(0))[0]
        if kind in ("v", "qkv"):
            bias[-self._values :] = self._head.heads(bias[-self._values :].unsqueeze(0))[0]
        return bias
