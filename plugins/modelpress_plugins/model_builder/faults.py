"""What upstream breaks, with its version: told before any work, tried again with another version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from modelpress_plugins.hf.config import ModelConfig

_GENAI = {"onnxruntime-genai": "0.18."}


@dataclass(frozen=True, slots=True)
class Fault:
    """versions: distribution -> how the versions begin in which it was seen. applies: to which models, built
    with which precision. instead: what works."""

    versions: Mapping[str, str]
    applies: Callable[[ModelConfig, str], bool]
    what: str
    instead: str = "Take another version of it, or another model."


FAULTS = (
    Fault(
        _GENAI,
        lambda model, _: model.architecture == "OlmoForCausalLM",
        "builds OLMo with other norms than it has: its logits are off by 60 %",
    ),
    Fault(
        _GENAI,
        lambda model, _: model.architecture == "SmolLM3ForCausalLM" and _without_rope(model),
        "fails on the layers without rotary embedding of SmolLM3",
    ),
    Fault(
        {**_GENAI, "transformers": "5."},
        lambda model, _: model.architecture in ("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"),
        "does not read the rotary embedding of Gemma 3 as transformers 5 gives it",
    ),
    Fault(
        _GENAI,
        lambda model, precision: (
            model.architecture == "GptOssForCausalLM"
            and precision in ("int4", "int8")
            and not model.quantization
        ),
        "takes the experts of GPT-OSS for int4 and int8 from a checkpoint in mxfp4 alone, and this one has "
        "them in float",
        "Start from the model as it was published, in mxfp4, or set precision to fp32.",
    ),
)


def known_fault(model: ModelConfig, precision: str) -> tuple[str, str]:
    """What is wrong with this model and the libraries that are here, and what to do instead; empty where
    nothing is known of."""
    for fault in FAULTS:
        found = {name: _installed(name) for name in fault.versions}
        seen = all(found[name].startswith(start) for name, start in fault.versions.items())
        if seen and fault.applies(model, precision):
            told = ", ".join(f"{name} {version}" for name, version in found.items())
            return f"The builder ({told}) {fault.what}.", fault.instead
    return "", ""


def _without_rope(model: ModelConfig) -> bool:
    layers = model.text.get("no_rope_layers")  # 0 says that the layer has none
    interval = model.number("no_rope_layer_interval") or 4
    return 0 in layers if isinstance(layers, list) and layers else model.layers >= interval


def _installed(name: str) -> str:
    for variant in (name, f"{name}-cuda", f"{name}-directml"):
        try:
            return version(variant)
        except PackageNotFoundError:
            continue
    return ""
