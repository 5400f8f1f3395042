"""How many rows of an embedding the tokenizer in a folder asks for, from its files. No heavy library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from modelpress.api import UserError
from modelpress_plugins.hf.config import read_json


def highest_id(folder: Path) -> int:
    """The largest id that the tokenizer can give; -1 where its files (sentencepiece alone) do not say."""
    return max(_ids(folder), default=-1)


def check_rows(folder: Path, base: Path, rows: int) -> None:
    """Raises UserError when an adapter's tokenizer has tokens for which the embedding has no row.

    folder, base: of the adapter and of its base, whose own tokenizer may be too large already.
    """
    found = highest_id(folder)
    if rows and found >= rows and found > highest_id(base):
        raise UserError(
            f"The adapter's tokenizer has ids up to {found:,}, the embedding {rows:,} rows, and the adapter "
            "brings no larger one.",
            "Save the adapter with the embedding that it was trained with: save_pretrained(…, "
            "save_embedding_layers=True). Or take its tokenizer away, where no token was added.",
        )


def _ids(folder: Path) -> Iterator[int]:
    tokenizer = _read(folder / "tokenizer.json")
    model = tokenizer.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, list):
        yield len(vocabulary) - 1
    yield from _numbers(vocabulary)
    yield from _numbers(_read(folder / "vocab.json"))
    yield from _numbers(_read(folder / "added_tokens.json"))
    for token in _list(tokenizer.get("added_tokens")):
        if isinstance(token, dict) and isinstance(number := token.get("id"), int):
            yield number
    decoder = _read(folder / "tokenizer_config.json").get("added_tokens_decoder")
    yield from (int(key) for key in (decoder if isinstance(decoder, dict) else {}) if str(key).isdecimal())


def _numbers(found: object) -> Iterator[int]:
    if isinstance(found, dict):
        yield from (value for value in found.values() if isinstance(value, int))


def _list(found: object) -> list[object]:
    return found if isinstance(found, list) else []


def _read(file: Path) -> dict[str, object]:
    try:
        return read_json(file) if file.is_file() else {}
    except UserError:  # whoever opens the tokenizer will tell
        return {}
