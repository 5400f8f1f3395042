"""Whether the small files of a model folder hold what they should, before any work. Light: no heavy library.

Passes that write weights copy these files, and never look into them: a broken one would be shipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard

from modelpress.api import UserError
from modelpress_plugins.hf.config import CONFIG, ModelConfig, read_json

_SIZES = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim"),
    *("vocab_size", "max_position_embeddings", "original_max_position_embeddings"),
)
_IDS = ("eos_token_id", "bos_token_id", "pad_token_id")
_GENERATION = "generation_config.json"
_SMALL = (_GENERATION, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_LARGE = ("tokenizer.json", "vocab.json")


def require_numbers(folder: Path, config: ModelConfig) -> None:
    """Raises UserError for a size in config.json that is no whole number above 0. Of families that are known:
    some others give a size for each layer."""
    file, part = folder / CONFIG, config.document.get("text_config")
    if part is not None and not isinstance(part, Mapping):
        raise UserError(f"{file}: text_config is {_short(part)}, expected a JSON object.")
    if not config.family.known:
        return
    for name in _SIZES:
        value = config.text.get(name)
        if value is not None and not (_is_whole(value) and value > 0):
            raise UserError(f"{file}: {name} is {_short(value)}, expected a whole number above 0.")
    _require_ids(file, config.text)


def require_well_formed(folder: Path) -> None:
    """Raises UserError for a settings file or a tokenizer that is not JSON, or holds what it cannot."""
    for file in (folder / name for name in _SMALL):
        if not file.is_file():
            continue
        document = read_json(file)
        if file.name == _GENERATION:
            _require_ids(file, document)
        longest = document.get("model_max_length")
        if longest is not None and not isinstance(longest, int | float):
            raise UserError(f"{file}: model_max_length is {_short(longest)}, expected a number.")
    for file in (folder / name for name in _LARGE):
        if file.is_file() and not _looks_like_an_object(file):
            raise UserError(
                f"{file} is not JSON, or it was cut.", "Fetch it again, or save the tokenizer anew."
            )


def _require_ids(file: Path, document: Mapping[str, object]) -> None:
    for name in _IDS:
        value = document.get(name)
        ids = value if isinstance(value, list) else [value]
        if any(each is not None and not _is_whole(each) for each in ids):
            raise UserError(f"{file}: {name} is {_short(value)}, expected the number of a token.")


def _looks_like_an_object(file: Path) -> bool:
    """By its two ends: a tokenizer of 30 MB takes half a second to be parsed, and is when it is opened."""
    with file.open("rb") as content:
        start = content.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
        content.seek(max(0, file.stat().st_size - 64))
        end = content.read().rstrip()
    return start.startswith(b"{") and end.endswith(b"}")


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
