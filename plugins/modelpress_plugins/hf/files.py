"""The files beside the weights: config, tokenizer, chat template, code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelpress.api import UserError

_WEIGHTS = (
    ".safetensors",
    ".bin",
    ".pt",
    ".pth",
    ".ckpt",
    ".h5",
    ".msgpack",
    ".gguf",
    ".onnx",
    ".index.json",
)
_NOT_THE_MODEL = {"modelpress.json", "readme.md", ".gitattributes", "training_args.bin"}
_TOKENIZER = (
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "spiece.model"),
    *("chat_template*", "*.jinja", "preprocessor_config.json", "processor_config.json"),
)


def read_model_config(folder: Path) -> dict[str, Any]:
    """config.json. Raises UserError."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{folder} has no config.json, so it is no Hugging Face model.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / 'config.json'} cannot be read: {error}.") from None
    return config


def ties_embeddings(config: Mapping[str, Any]) -> bool:
    """What config.json says of tying the head to the embedding; False when it says nothing."""
    return bool(config.get("tie_word_embeddings") or config.get("text_config", {}).get("tie_word_embeddings"))


def write_companions(base: Path, adapter: Path, out: Path, *, untied: bool) -> None:
    """Copy everything but the weights from the base, then the tokenizer from the adapter if it has one.

    config.json loses `quantization_config` (the merged weights are floats) and says when the head is no
    longer tied; otherwise it is the base's, byte for byte.
    """
    for path in sorted(base.rglob("*")):
        name = path.relative_to(base)
        if path.is_file() and _belongs(name):
            _copy(path, out / name)
    if (adapter / "tokenizer_config.json").is_file():
        for pattern in _TOKENIZER:
            for path in sorted(adapter.glob(pattern)):
                if path.is_file() and _belongs(path.relative_to(adapter)):
                    _copy(path, out / path.name)
    config = read_model_config(base)
    changed = dict(config)
    changed.pop("quantization_config", None)
    if untied:
        changed["tie_word_embeddings"] = False
        if "tie_word_embeddings" in changed.get("text_config", {}):
            changed["text_config"] = {**changed["text_config"], "tie_word_embeddings": False}
    if changed != config:
        text = json.dumps(changed, indent=2, ensure_ascii=False) + "\n"
        (out / "config.json").write_text(text, encoding="utf-8")


def _belongs(name: Path) -> bool:
    hidden = any(part.startswith(".") for part in name.parts)
    return not (hidden or name.name.lower() in _NOT_THE_MODEL or name.name.lower().endswith(_WEIGHTS))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
