"""Train an adapter on a frozen base: LoRA, QLoRA, DoRA, LoHa, LoKr."""

from __future__ import annotations

from modelpress.api import PassSpec, hookimpl
from modelpress_plugins.lora.renames import RENAMES, WITHOUT_DOUBLE_QUANT
from modelpress_plugins.ranges import ACCELERATE, BITSANDBYTES, PEFT, SAFETENSORS, TORCH, TRANSFORMERS

MODELPRESS_API = 1

_SUMMARIES = {
    "LoRA": "Fine-tune a low-rank adapter on a frozen base.",
    "QLoRA": "Fine-tune a low-rank adapter on a base held in 4 bits.",
    "DoRA": "Fine-tune an adapter that changes the direction and the magnitude of each weight apart.",
    "LoHa": "Fine-tune an adapter that is a Hadamard product of two low-rank matrices.",
    "LoKr": "Fine-tune an adapter that is a Kronecker product of two small matrices.",
}
_LIBRARIES = (ACCELERATE, PEFT, SAFETENSORS, TORCH, TRANSFORMERS)


@hookimpl
def modelpress_passes() -> list[PassSpec]:
    return [_spec(name) for name in _SUMMARIES]


def _spec(name: str) -> PassSpec:
    quantized = name == "QLoRA"
    return PassSpec(
        name=name,
        summary=_SUMMARIES[name],
        accepts=("hf-model",),
        produces="hf-adapter",
        run=f"modelpress_plugins.lora.run:{name.lower()}",
        config=f"modelpress_plugins.lora.config:{name}Config",
        plan="modelpress_plugins.lora.plan:plan",
        requires=(*_LIBRARIES, BITSANDBYTES) if quantized else _LIBRARIES,
        extra="qlora" if quantized else "train",
        version=2,
        by_threads=True,
        loss="loss",
        renames=RENAMES if quantized else (*RENAMES, WITHOUT_DOUBLE_QUANT),
    )
