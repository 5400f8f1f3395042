"""The loader: with this module imported, transformers reads models that modelpress quantized.

    import modelpress_plugins.hf.transformers
    model = AutoModelForCausalLM.from_pretrained("output")

It registers a quantizer for `quant_method: olive`. What it opens is the float model that the codes stand for,
in the dtype that from_pretrained was asked for: each weight is dequantized as it is read. Without it
transformers has no name for the layout and would make random weights; `LOADER` in config.json, where
transformers looks for the file with the weights, makes it fail and say what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel
from transformers.core_model_loading import ConversionOps, WeightConverter
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING, AUTO_QUANTIZER_MAPPING
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from modelpress_plugins.grids.grid import Codes, Grid
from modelpress_plugins.hf.config import METHOD
from modelpress_plugins.hf.quantized import KINDS, QuantizationConfig, forget_loader, unpack

_Tensors = Mapping[str, list[Tensor] | Tensor]


class OliveConfig(QuantizationConfigMixin):
    """`quantization_config` of config.json, every key as it is there."""

    def __init__(self, **given: object) -> None:
        self.__dict__.update(given)
        self.quant_method = METHOD  # type: ignore[assignment]
        self.dequantize = True

    @property
    def stored(self) -> QuantizationConfig:
        return QuantizationConfig.from_json({"quantization_config": self.__dict__})


class OliveQuantizer(HfQuantizer):
    """Dequantizes on loading. The model is a float model afterwards: it can be trained and saved as one."""

    requires_calibration = True
    """It reads what was quantized, and quantizes nothing itself."""
    quantization_config: OliveConfig

    def update_attn_implementation(self, config: PretrainedConfig) -> PretrainedConfig:
        """Called with the config before files are looked for and the model is made."""
        stored = self.quantization_config.stored
        forget_loader(config)
        if stored.lm_head and stored.tied and not stored.embedding:
            for section in (config, config.get_text_config(decoder=True)):
                section.tie_word_embeddings = False
        return config

    update_tp_plan = update_attn_implementation
    """The hook at the same place in the first releases of transformers 5."""

    def get_weight_conversions(self) -> list[WeightConverter]:
        stored = self.quantization_config.stored
        found = [] if not stored.embedding else [_converter(["lm_head"], stored.embedding)]
        for whole, parts in sorted({(_last(w), tuple(map(_last, p))) for w, p in stored.fused.items()}):
            found.append(_converter(parts, whole))
            biases = [f"{part}.bias" for part in parts]
            found.append(WeightConverter(biases, f"{whole}.bias", operations=[_JoinBiases(biases)]))
        return [*found, _converter([], "")]

    def update_weight_conversions(
        self, weight_conversions: list[object], model: PreTrainedModel
    ) -> list[object]:
        return [*self.get_weight_conversions(), *weight_conversions]

    def _process_model_after_weight_loading(self, model: PreTrainedModel, **_: object) -> PreTrainedModel:
        """Saved again, it is a float model of the usual layout: nothing of this is undone."""
        used = getattr(model, "_weight_conversions", None) or []
        vars(model)["_weight_conversions"] = [conversion for conversion in used if not _is_ours(conversion)]
        return model

    def is_serializable(self) -> bool:
        return True

    @property
    def is_trainable(self) -> bool:
        return True


class _Dequantize(ConversionOps):
    """The codes of one module, or of the parts of a fused one, to its float weight."""

    hf_quantizer = METHOD
    """Any value: where it is set, what the operation takes keeps the dtypes that are stored."""

    def __init__(self, prefixes: Sequence[str]) -> None:
        self.prefixes = prefixes

    def convert(  # type: ignore[override]  # all that is passed is passed by name
        self, input_dict: _Tensors, *, full_layer_name: str, model: PreTrainedModel, **_: object
    ) -> dict[str, Tensor]:
        wanted = model.get_parameter(full_layer_name)
        given = {name: _one(tensor) for name, tensor in input_dict.items()}
        parts = [
            _codes(*(given.get(prefix + kind) for kind in KINDS), columns=wanted.shape[1]).dequantize()
            for prefix in self.prefixes
        ]
        return {full_layer_name: torch.cat(parts).to(wanted.dtype)}


class _JoinBiases(ConversionOps):
    """The biases of the parts of a fused module, joined in their order."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def convert(  # type: ignore[override]
        self, input_dict: _Tensors, *, full_layer_name: str, **_: object
    ) -> dict[str, Tensor]:
        return {full_layer_name: torch.cat([_one(input_dict[name]) for name in self.names])}


def _converter(modules: Sequence[str], target: str) -> WeightConverter:
    """From the codes of those modules to the weight of one; of any module to its own when none is named."""
    prefixes = [f"{module}." for module in modules] or [""]
    names = [prefix + kind for prefix in prefixes for kind in KINDS]
    return WeightConverter(
        names, f"{target}.weight" if target else "weight", operations=[_Dequantize(prefixes)]
    )


def _is_ours(conversion: object) -> bool:
    operations: Sequence[object] = getattr(conversion, "operations", ())
    return any(isinstance(operation, _Dequantize | _JoinBiases) for operation in operations)


def _codes(packed: Tensor | None, scales: Tensor | None, zeros: Tensor | None, *, columns: int) -> Codes:
    """Codes of a module with that many columns: bits and block follow from the shapes."""
    if packed is None or scales is None:
        raise ValueError("The checkpoint lacks the codes or the scales of a part: it is not whole.")
    grid = Grid(packed.shape[1] * 8 // columns, columns // scales.shape[1], zeros is None)
    unpacked = None if zeros is None else unpack(zeros, grid.bits, scales.shape[1])
    return Codes(unpack(packed, grid.bits, columns), scales.float(), unpacked, grid)


def _one(tensor: list[Tensor] | Tensor) -> Tensor:
    return tensor[0] if isinstance(tensor, list) else tensor


def _last(module: str) -> str:
    return module.rpartition(".")[2]


# Not by `register_quantizer`: it refuses a name twice, and Olive registers its own where it is imported.
AUTO_QUANTIZATION_CONFIG_MAPPING[METHOD] = OliveConfig
AUTO_QUANTIZER_MAPPING[METHOD] = OliveQuantizer
