"""How models and adapters in the layouts of transformers and PEFT are used: for their cards. Light."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from modelpress.api import Artifact, Usage
from modelpress_plugins.hf.config import read_config
from modelpress_plugins.hf.prompt_code import PromptCode, prompt_code

_ASK = 'ask {} "I lost my keys."'
_LOADER = "modelpress_plugins.hf.transformers"


def use_hf_model(artifact: Artifact) -> Usage:
    """For FormatSpec.usage of hf-model."""
    quantized = _is_quantized(artifact)
    text = (
        f"transformers does not know the layout of its weights by itself; `{_LOADER}`, which comes with "
        "modelpress, opens them as the float model that the codes stand for. `ModelBuilder` builds it for "
        "onnxruntime-genai, which computes in few bits.\n\n"
        if quantized
        else ""
    )
    lines = [
        *(["import modelpress_plugins.hf.transformers  # so that transformers can read it"] * quantized),
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        'model = AutoModelForCausalLM.from_pretrained(".")  # this folder',
        *_ask_it(prompt_code(artifact)),
    ]
    return Usage(
        text=text + _python(lines),
        try_it=_ASK,
        library="transformers",
        relation="quantized" if quantized else "finetune",
        code="\n".join(lines),
        packages=("modelpress[train]",) if quantized else ("torch", "transformers"),
    )


def use_hf_adapter(artifact: Artifact) -> Usage:
    """For FormatSpec.usage of hf-adapter."""
    hub, commit = _hub_name(artifact.base)
    where = f'"{hub}"' if hub else '"the folder of the base model"'
    at = f', revision="{commit}"' if hub and commit else ""
    bits = artifact.meta.extra.get("quantization")
    lines = [
        "from peft import PeftModel",
        "from transformers import AutoModelForCausalLM, AutoTokenizer"
        + (", BitsAndBytesConfig" if isinstance(bits, Mapping) else ""),
        "",
        *(_bits(bits) if isinstance(bits, Mapping) else ()),
        f"base = AutoModelForCausalLM.from_pretrained({where}{at}"
        + (", quantization_config=bits)" if isinstance(bits, Mapping) else ")"),
        'model = PeftModel.from_pretrained(base, ".")  # this folder',
        *_ask_it(prompt_code(artifact)),
    ]
    text = (
        "An adapter changes a base model, and is used with it. `MergeAdapterWeights` makes one of both.\n\n"
    )
    packages = ("peft", "torch", "transformers", *(["bitsandbytes"] if isinstance(bits, Mapping) else []))
    return Usage(
        text=text + _python(lines),
        try_it=_ASK,
        library="peft",
        relation="adapter",
        code="\n".join(lines),
        packages=packages,
    )


def _is_quantized(artifact: Artifact) -> bool:
    # hf/quantized.py, which has the layout's name, would import torch after each run.
    return read_config(artifact.path).quant_method == "olive"


def _hub_name(base: Artifact | None) -> tuple[str, str]:
    if base is None or not base.key.startswith("hub:"):
        return "", ""
    name, _, commit = base.key.removeprefix("hub:").partition("@")
    return name, commit


def _bits(options: Mapping[str, object]) -> Iterable[str]:
    said = ", ".join(f"{name}={value!r}" for name, value in sorted(options.items()))
    return (f"bits = BitsAndBytesConfig({said})  # as in training",)


def _ask_it(code: PromptCode) -> Iterable[str]:
    yield 'tokenizer = AutoTokenizer.from_pretrained(".")'
    yield ""
    yield from code.python(
        "tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)"
    )
    yield 'ids = tokenizer(prompt, return_tensors="pt")["input_ids"]'
    if code.closes:
        yield "ids = ids[:, :-1]  # without the end token that the tokenizer puts"
    yield "answer = model.generate(ids, max_new_tokens=64, do_sample=False)"
    yield "print(tokenizer.decode(answer[0, ids.shape[1] :], skip_special_tokens=True))"


def _python(lines: Iterable[str]) -> str:
    return "```python\n" + "\n".join(lines) + "\n```\n"
