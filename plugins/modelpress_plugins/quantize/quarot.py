"""QuaRot, offline: rotate the hidden states so that no channel stands out; the model computes the same.

Ashkboos, Mohtashami, Croci, Li, Cameron, Jaggi, Alistarh, Hoefler, Hensman, "QuaRot: Outlier-Free 4-Bit
Inference in Rotated LLMs" (NeurIPS 2024, arXiv 2404.00456), the parts that need nothing at run time: norm
weights are folded into the projections that follow; the residual stream is rotated (embedding, inputs of
q, k, v, gate, up and the output layer, outputs of o and down); the values of each head are rotated, and
undone in o. The result is a float model of the same architecture, which any quantizer may follow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modelpress.api import Artifact, Checkpoint, CheckpointWriter, PassError, UserError
from modelpress_plugins.grids.row_blocks import row_blocks
from modelpress_plugins.grids.stream import read_float_config
from modelpress_plugins.hf.config import ModelConfig
from modelpress_plugins.hf.families import ROTATABLE
from modelpress_plugins.hf.files import copy_companions
from modelpress_plugins.quantize.decoder import LayeredDecoder
from modelpress_plugins.quantize.layer import SAME
from modelpress_plugins.quantize.rotation import Rotation
from modelpress_plugins.tensors.bytes import TORCH_DTYPES, as_bytes, check_finite, read_tensor

_PROJECTION = re.compile(
    r"^(.*layers\.\d+\.)(self_attn|mlp)\.(qkv|q|k|v|o|gate_up|gate|up|down)_proj\.(weight|bias)$"
)
_FOLDED = re.compile(r"(\.input_layernorm|\.post_attention_layernorm|^model\.norm)\.weight$")


def rotate_model(
    model: Artifact | Path, out: Path, mode: str, seed: int, progress: Callable[[int, int, str], None]
) -> None:
    """Write the rotated model to out, tensor by tensor, in the dtype that each has.

    Raises UserError when the architecture is not known to allow it.
    """
    source = model.path if isinstance(model, Artifact) else model
    config = read_float_config(source)
    if config.get("model_type") not in ROTATABLE:
        raise UserError(
            f"Models of type {config.get('model_type')} cannot be rotated.", f"Known: {', '.join(ROTATABLE)}."
        )
    with Checkpoint(source) as checkpoint:
        rotator = _Rotator(checkpoint, config, mode, seed)
        trusted = isinstance(model, Artifact) and model.meta.trust_remote_code
        check_layers(LayeredDecoder(checkpoint, trusted), rotator, ModelConfig(config).vocabulary)
        declared = [(n, checkpoint.info(n).dtype, checkpoint.info(n).shape) for n in checkpoint.names()]
        if rotator.tied:
            declared = [d for d in declared if d[0] != HEAD]
            head = checkpoint.info(EMBEDDING)
            declared.append((HEAD, head.dtype, head.shape))
        with CheckpointWriter(out, declared) as writer:
            for done, (name, _, _) in enumerate(declared):
                progress(done, len(declared), "tensors")
                rotator.write(writer, name)
            try:
                copy_companions(model, out)
                document = {**config, "tie_word_embeddings": False}
                (out / "config.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
            except OSError as error:
                raise PassError(f"Writing {out} failed: {error.strerror or error}.") from error
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

EMBEDDING, HEAD, LAST_NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"


class _Rotator:
    """What becomes of each tensor."""

    def __init__(self, checkpoint: Checkpoint, config: Mapping[str, Any], mode: str, seed: int) -> None:
        self._checkpoint = checkpoint
        self.tied = HEAD not in checkpoint or config.get("tie_word_embeddings") is True
        heads = config["num_attention_heads"]
        self._head_size = config.get("head_dim") or config["hidden_size"] // heads
        self._values = (config.get("num_key_value_heads") or heads) * self._head_size
        generator = torch.Generator().manual_seed(seed)
        dense = mode == "random"
        self._stream = Rotation(config["hidden_size"], generator, dense)
        self._head = Rotation(self._head_size, generator, dense)

    def write(self, writer: CheckpointWriter, name: str) -> None:
        source = EMBEDDING if name == HEAD and self.tied else name
        dtype = TORCH_DTYPES[self._checkpoint.info(source).dtype]
        if name in (EMBEDDING, HEAD):
            self._write_rows(writer, name, source)
        elif _FOLDED.search(name) or _PROJECTION.match(name):
            writer.write(name, as_bytes(self.turned(name).to(dtype)))
        else:
            writer.copy(self._checkpoint, name)

    def turned(self, name: str) -> Tensor:
        """A tensor of a layer as it will be, float32."""
        tensor = read_tensor(self._checkpoint, name).float()
        check_finite(tensor, name)
        if _FOLDED.search(name):
            return torch.ones_like(tensor)
        if match := _PROJECTION.match(name):
            turn = self._weight if match[4] == "weight" else self._bias
            return turn(tensor, match[1], match[3])
        return tensor

    def hidden(self, states: Tensor) -> Tensor:
        """Hidden states (rows, length, width) as the rotated model has them."""
        return self._stream.rows(states.reshape(-1, states.shape[-1])).view(states.shape)

    def _write_rows(self, writer: CheckpointWriter, name: str, source: str) -> None:
        """Embedding and output layer, in blocks of rows: they are the largest."""
        info = self._checkpoint.info(source)
        norm = read_tensor(self._checkpoint, LAST_NORM).float() if name == HEAD else None
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
        norm = "input_layernorm" if kind in ("q", "k", "v", "qkv") else "post_attention_layernorm"
        turned = self._stream.rows(weight * read_tensor(self._checkpoint, f"{layer}{norm}.weight").float())
        if kind in ("v", "qkv"):
            values = turned[-self._values :]
            turned[-self._values :] = self._head.heads(values.T.contiguous()).T
        return turned

    def _bias(self, bias: Tensor, layer: str, kind: str) -> Tensor:
        if kind in ("o", "down"):
            return self._stream.rows(bias.unsqueeze(0))[0]
        if kind in ("v", "qkv"):
            bias[-self._values :] = self._head.heads(bias[-self._values :].unsqueeze(0))[0]
        return bias
