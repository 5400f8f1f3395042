"""The tokenizer: a letter is its code point."""

from __future__ import annotations

from collections.abc import Sequence

from modelpress.api import Artifact

VOCABULARY = 256
END = 0


class Letters:
    """Letters past the vocabulary are told as `?`."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) if ord(letter) < VOCABULARY else ord("?") for letter in text]

    def decode(self, token_ids: Sequence[int], /) -> str:
        return "".join(map(chr, token_ids))


def tokenizer(artifact: Artifact) -> Letters:
    return Letters()
