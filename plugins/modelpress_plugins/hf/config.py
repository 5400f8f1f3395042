"""Whether a model needs Python code of its own, or transformers carries its architecture.

Many models name code files in `auto_map` from the time before transformers took them up. Their code then
no longer fits current transformers, and it is not needed: they are opened natively.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_WELL_KNOWN = """
    bloom cohere cohere2 deepseek_v2 deepseek_v3 falcon gemma gemma2 gemma3_text gpt2 gpt_bigcode gpt_neo
    gpt_neox gpt_oss gptj granite llama mistral mixtral olmo olmo2 opt phi phi3 phimoe qwen2 qwen2_moe qwen3
    qwen3_moe smollm3 stablelm starcoder2
"""
"""For a machine that plans without transformers."""


def needed_code(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The Python files that the model's config.json names and transformers cannot do without."""
    return () if _is_native(str(config.get("model_type", ""))) else code_files(config)


def code_files(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The Python files that `auto_map` names."""
    auto_map = config.get("auto_map")
    targets = auto_map.values() if isinstance(auto_map, Mapping) else ()
    names = [
        name for target in targets for name in (target if isinstance(target, list) else [target]) if name
    ]
    # `org/other--module.Class` is code of another repository
    return tuple(dict.fromkeys(f"{str(name).rpartition('.')[0]}.py" for name in names))


def _is_native(model_type: str) -> bool:
    transformers = find_spec("transformers")
    if not model_type or transformers is None or transformers.origin is None:
        return model_type in _WELL_KNOWN.split()
    models = Path(transformers.origin).parent / "models"
    name = model_type.replace("-", "_")
    return (models / name).is_dir() or (models / name.removesuffix("_text")).is_dir()
