"""From text to ids, the one way in which a prompt becomes them. No heavy library.

Training, measuring and asking must all see the same ids for the same prompt: they all come from here.
tokenizer: one of transformers throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def encode_prompt(tokenizer: Any, text: str) -> list[int]:
    """The ids of a text that is to be gone on with: a begin token where the tokenizer puts one (once, also
    where a chat template has written it), no end token."""
    return encode_prompts(tokenizer, [text], True)[0]


def encode_prompts(tokenizer: Any, texts: Sequence[str], special_tokens: bool) -> list[list[int]]:
    """The ids of several texts; see encode_prompt. special_tokens: whether a begin token is wanted."""
    if not texts:
        return []
    # Texts may be longer than the model's window; they are cut later, so no warning is due.
    encoded = tokenizer(list(texts), add_special_tokens=special_tokens, verbose=False)["input_ids"]
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    return [
        _trim(ids, text, tokenizer, bos, eos) if special_tokens else ids
        for ids, text in zip(encoded, texts, strict=True)
    ]


def ends_with_eos(tokenizer: Any, ids: Sequence[int]) -> bool:
    """Whether a text is already closed by the end token, perhaps with a newline after it as chat templates
    have it. True also for a tokenizer that has no end token."""
    eos = tokenizer.eos_token_id
    return eos is None or eos in ids[-2:]


def _trim(ids: list[int], text: str, tokenizer: Any, bos: int | None, eos: int | None) -> list[int]:
    """Take out what the tokenizer adds beyond one begin token."""
    if bos is not None and ids[:2] == [bos, bos] and text.startswith(tokenizer.bos_token):
        ids = ids[1:]
    if eos is not None and ids and ids[-1] == eos and not text.endswith(tokenizer.eos_token):
        ids = ids[:-1]
    return ids
