"""From text to ids, the one way in which a prompt becomes them. No heavy library.

Training, measuring and asking must all see the same ids for the same prompt: they all come from here.
tokenizer: one of transformers throughout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class HfTokenizer(Protocol):
    """What is used of a tokenizer of transformers."""

    bos_token_id: int | None
    eos_token_id: int | None
    pad_token_id: int | None
    bos_token: str | None
    eos_token: str | None
    all_special_ids: list[int]
    special_tokens_map: Mapping[str, object]
    split_special_tokens: bool
    chat_template: object

    def __len__(self) -> int: ...

    def __call__(
        self, text: list[str], *, add_special_tokens: bool, verbose: bool
    ) -> Mapping[str, list[list[int]]]: ...

    def decode(
        self,
        token_ids: Sequence[int],
        /,
        *,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> str: ...

    def apply_chat_template(
        self,
        conversation: list[Mapping[str, object]],
        *,
        chat_template: str | None,
        tools: list[object] | None,
        tokenize: bool,
        add_generation_prompt: bool,
    ) -> str: ...


_PLAIN_BACKEND = "transformers.tokenization_utils_tokenizers"
"""Where the tokenizers live that do nothing beside what the `tokenizers` library does."""


def encode_prompt(tokenizer: HfTokenizer, text: str) -> list[int]:
    """The ids of a text that is to be gone on with: a begin token where the tokenizer puts one (once, also
    where a chat template has written it), no end token."""
    return encode_prompts(tokenizer, [text], True)[0]


def encode_prompts(tokenizer: HfTokenizer, texts: Sequence[str], special_tokens: bool) -> list[list[int]]:
    """The ids of several texts; see encode_prompt. special_tokens: whether a begin token is wanted."""
    if not texts:
        return []
    encoded = _encode(tokenizer, texts, special_tokens)
    if not special_tokens:
        return encoded
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    begin, end = tokenizer.bos_token, tokenizer.eos_token
    return [_trim(ids, text, bos, eos, begin, end) for ids, text in zip(encoded, texts, strict=True)]


def _encode(tokenizer: HfTokenizer, texts: Sequence[str], special_tokens: bool) -> list[list[int]]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    own = getattr(getattr(type(tokenizer), "_encode_plus", None), "__module__", "")
    if backend is not None and own == _PLAIN_BACKEND and not tokenizer.split_special_tokens:
        # What transformers does, less the masks and offsets that nobody reads: half of the time.
        backend.no_truncation()
        backend.no_padding()
        batch = backend.encode_batch_fast(list(texts), add_special_tokens=special_tokens)
        return [encoding.ids for encoding in batch]
    # Texts may be longer than the model's window; they are cut later, so no warning is due.
    return tokenizer(list(texts), add_special_tokens=special_tokens, verbose=False)["input_ids"]


def ends_with(eos: int | None, ids: Sequence[int]) -> bool:
    """Whether a text is already closed by the end token, perhaps with a newline after it as chat templates
    have it. True also for a tokenizer that has no end token (eos is None)."""
    return eos is None or eos in ids[-2:]


def _trim(
    ids: list[int], text: str, bos: int | None, eos: int | None, begin: str | None, end: str | None
) -> list[int]:
    """Take out what the tokenizer adds beyond one begin token."""
    if bos is not None and ids[:2] == [bos, bos] and begin and text.startswith(begin):
        ids = ids[1:]
    if eos is not None and ids and ids[-1] == eos and end and not text.endswith(end):
        ids = ids[:-1]
    return ids
