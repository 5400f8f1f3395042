"""A decoder model run one layer at a time: only that layer's weights are ever in memory, as float32.

The model's own classes do the arithmetic, built without weights. What its `forward` would hand to each
layer (masks, rotary embeddings) is recorded once per shape of batch by stand-ins for the layers.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from modelpress.api import Checkpoint, UserError
from modelpress_plugins.grids.row_blocks import row_blocks
from modelpress_plugins.hf.bare_model import bare_model, open_config
from modelpress_plugins.tensors.bytes import check_finite, read_tensor


class LayeredDecoder:
    """The layers of a causal language model over a float checkpoint."""

    def __init__(self, checkpoint: Checkpoint, trust_remote_code: bool = False, device: str = "cpu") -> None:
        config = open_config(checkpoint.path, trust_remote_code=trust_remote_code)
        model: Any = bare_model(config, trust_remote_code=trust_remote_code)
        decoder = model.get_decoder()
        names = {id(module): name for name, module in model.named_modules()}
        if decoder is None or not hasattr(decoder, "layers") or not hasattr(decoder, "norm"):
            raise UserError(
                f"Calibration needs a decoder with `layers` and `norm`; {type(model).__name__} has none.",
                "Use a quantizer that needs no data: Rtn, KQuant or Hqq.",
            )
        self.device = device
        self._checkpoint = checkpoint
        self._prefix = names[id(decoder)] + "."
        self._layers: Sequence[nn.Module] = list(decoder.layers)
        self._norm = decoder.norm
        self._stand_ins = [_StandIn(layer) for layer in self._layers]
        decoder.layers = nn.ModuleList(self._stand_ins)
        decoder.norm = nn.Identity()
        self._embedding_scale = getattr(decoder.embed_tokens, "embed_scale", None)
        self._decoder = decoder.to(device) if device != "cpu" else decoder
        self._arguments: dict[tuple[int, int], list[dict[str, Any]]] = {}

    def __len__(self) -> int:
        return len(self._layers)

    def embed(self, ids: Sequence[Tensor]) -> Iterator[Tensor]:
        """What the first layer is given: (rows, length, hidden) for each batch of ids (rows, length)."""
        name = f"{self._prefix}embed_tokens.weight"
        vocabulary, width = self._checkpoint.info(name).shape
        wanted = torch.unique(torch.cat([batch.flatten() for batch in ids]))
        table = torch.empty(len(wanted), width)
        for start, stop in row_blocks(0, vocabulary, width):
            inside = (wanted >= start) & (wanted < stop)
            if inside.any():
                rows = read_tensor(self._checkpoint, name, slice(start, stop))
                table[inside] = rows[wanted[inside] - start].float()
        check_finite(table, name)
        for batch in ids:
            hidden = table[torch.searchsorted(wanted, batch.contiguous())]
            if self._embedding_scale is not None:
                hidden = hidden * self._embedding_scale
            yield self._enter(hidden.to(self.device))

    def layer(self, index: int) -> nn.Module:
        """A decoder layer with its weights, float32, to be thrown away after use.

        Raises PassError, naming the tensor, for NaN or infinity in one.
        """
        return self._filled(self._layers[index], f"{self._prefix}layers.{index}.")

    def norm(self) -> nn.Module:
        """The norm after the last layer."""
        return self._filled(self._norm, f"{self._prefix}norm.")

    def name(self, index: int) -> str:
        """The prefix of a layer's tensors in the checkpoint, with the dot."""
        return f"{self._prefix}layers.{index}."

    def run(self, layer: nn.Module, index: int, hidden: Tensor) -> Tensor:
        """One layer's output; hidden: (rows, length, width)."""
        shape = (hidden.shape[0], hidden.shape[1])
        if shape not in self._arguments:
            self._enter(hidden)
        out = layer(hidden, **self._arguments[shape][index])
        state: Tensor = out[0] if isinstance(out, tuple) else out
        return state

    def _enter(self, hidden: Tensor) -> Tensor:
        """Run the model over the stand-ins; what the first of them is given."""
        with torch.no_grad():
            self._decoder(inputs_embeds=hidden, use_cache=False)
        shape = (hidden.shape[0], hidden.shape[1])
        self._arguments[shape] = [stand_in.arguments for stand_in in self._stand_ins]
        return self._stand_ins[0].hidden

    def _filled(self, module: nn.Module, prefix: str) -> nn.Module:
        filled = copy.deepcopy(module)
        weights: dict[str, Tensor] = {}
        for name, _ in module.named_parameters():
            tensor = read_tensor(self._checkpoint, prefix + name).float()
            check_finite(tensor, prefix + name)
            weights[name] = tensor
        filled.load_state_dict(weights, strict=False, assign=True)
        return filled.requires_grad_(False).to(self.device)


class _StandIn(nn.Module):
    """In a layer's place: passes the hidden state through and keeps what else it was given."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self._of = [layer]  # in a list, so that it is no submodule
        self.hidden: Tensor = torch.empty(0)
        self.arguments: dict[str, Any] = {}

    def forward(self, hidden_states: Tensor, **arguments: Any) -> Tensor:
        self.hidden = hidden_states
        self.arguments = arguments
        return hidden_states

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["_of"][0], name)
