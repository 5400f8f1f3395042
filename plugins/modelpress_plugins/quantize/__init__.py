"""Quantize the weights of a Hugging Face model to 2, 4 or 8 bits, layer by layer, into one layout."""

from __future__ import annotations

from modelpress.api import PassSpec, Rename, hookimpl
from modelpress_plugins.ranges import ACCELERATE, TORCH, TRANSFORMERS

MODELPRESS_API = 1

_LAYERWISE = "One decoder layer and its activations are held at a time."
_SUMMARIES = {
    "Rtn": "Quantize by rounding to nearest. Needs no data; fastest, least exact.",
    "KQuant": "Quantize with a search over each block's range, large weights counting more. Needs no data.",
    "Hqq": "Quantize by half-quadratic optimization, robust to outliers. Needs no data; the best of those.",
    "Gptq": f"Quantize column by column, carrying rounding errors over, on calibration data. {_LAYERWISE}",
    "Awq": f"Quantize with activation-aware scaling and clipping, on calibration data. {_LAYERWISE}",
    "AutoClip": f"Quantize with each block's range clipped for least output error. {_LAYERWISE}",
    "SelectiveMixedPrecision": "Quantize with more bits where it hurts most, as measured, under a "
    "size budget.",
    "QuaRot": "Rotate weights so that none stands out; the model computes the same. Quantize after.",
}
_CALIBRATED = ("Gptq", "Awq", "AutoClip", "SelectiveMixedPrecision")
_RUNS = {
    "Rtn": "rtn",
    "KQuant": "kquant",
    "Hqq": "hqq",
    "Gptq": "gptq",
    "Awq": "awq",
    "AutoClip": "autoclip",
    "SelectiveMixedPrecision": "selective_mixed_precision",
    "QuaRot": "quarot",
}
_RENAMES = (
    Rename("block_size", "group_size"),
    Rename("is_symmetric", "sym"),
    Rename("symmetric", "sym"),
    Rename("w_bit", "bits"),
    Rename("q_group_size", "group_size"),
    Rename("quantize_vision", None, "Only the decoder is quantized."),
    Rename("moe", None, "Mixture-of-experts layers are not quantized."),
)
_MORE_RENAMES = {
    "Gptq": (
        Rename("static_groups", None, "Groups are fitted as the columns are reached."),
        Rename("moe_fallback_threshold", None, "Mixture-of-experts layers are not quantized."),
        Rename("moe_fallback_min_k_multiple", None, "Mixture-of-experts layers are not quantized."),
    ),
    "AutoClip": (Rename("n_sample_token", None, "All calibration tokens count."),),
    "SelectiveMixedPrecision": (Rename("kld_memory_mode", None, "One layer is held at a time, always."),),
    "QuaRot": (),
}


@hookimpl
def modelpress_passes() -> list[PassSpec]:
    return [_spec(name) for name in _SUMMARIES]


def _spec(name: str) -> PassSpec:
    heavy = name in _CALIBRATED
    return PassSpec(
        name=name,
        summary=_SUMMARIES[name],
        accepts=("hf-model",),
        produces="hf-model",
        run=f"modelpress_plugins.quantize.{'run_calibrated' if heavy else 'run'}:{_RUNS[name]}",
        config=f"modelpress_plugins.quantize.config:{name}Config",
        plan=f"modelpress_plugins.quantize.plan:{'plan_rotation' if name == 'QuaRot' else 'plan'}",
        requires=(TORCH, TRANSFORMERS, ACCELERATE) if heavy else (TORCH,),
        extra="train",
        renames=() if name == "QuaRot" else (*_RENAMES, *_MORE_RENAMES.get(name, ())),
    )
