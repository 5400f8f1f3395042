"""The samples of a source: streamed, or kept on disk and taken by number."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from functools import cached_property
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from modelpress.api import DataContext, Sample
from modelpress_plugins.hf.ids import HfTokenizer
from modelpress_plugins.huggingface.sample_store import TokenStore, store_tokens
from modelpress_plugins.huggingface.samples import finish, make_tokens
from modelpress_plugins.huggingface.tokens import Tokens

if TYPE_CHECKING:
    from modelpress_plugins.huggingface.source import HuggingfaceSource

_VERSION = 2
"""Raise it when the same rows would give other samples."""


class StoredSamples:
    """A modelpress.api.SampleTable: samples of rows, templates and a tokenizer.

    Going through them makes them one after another and keeps none; asking for one by number, or how many
    there are, makes all (or `limit`) of them once, on disk, for every pass and metric that needs the same.
    """

    def __init__(
        self, source: HuggingfaceSource, tokenizer: HfTokenizer, limit: int | None, data: DataContext
    ) -> None:
        self._source = source
        self._tokenizer = tokenizer
        self._limit = limit
        self._data = data
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    def __iter__(self) -> Iterator[Sample]:
        tokens = iter(self.stored) if "stored" in self.__dict__ else self._make()
        return (finish(each, self._source.pre, self._tokenizer) for each in tokens)

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each sample, without padding."""
        lengths: list[int] = self.stored.lengths.tolist()
        return lengths

    @property
    def highest_id(self) -> int:
        return self.stored.highest_id

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"There are {len(self)} samples, and {index} was asked for.")
        return finish(self.stored[index], self._source.pre, self._tokenizer)

    @cached_property
    def stored(self) -> TokenStore:
        """All of them, without padding."""
        name = self._source.name
        return store_tokens(
            self._place(),
            self._make(),
            lambda: self._data.note(f"What was tokenized of {name} is damaged: it is tokenized again."),
        )

    def _make(self) -> Iterator[Tokens]:
        source = self._source
        texts = source.texts(self._tokenizer)
        return islice(make_tokens(texts, source.pre, self._tokenizer, self._data.note), self._limit)

    def _place(self) -> Path:
        source = self._source
        rows, layout = source.rows.identity, source.layout.identity
        tokenizer = _tokenizer_identity(self._tokenizer)
        if not (rows and layout and tokenizer):  # nobody can tell what it depends on: for this time only
            self._temporary = tempfile.TemporaryDirectory(prefix="modelpress-")
            return Path(self._temporary.name) / "samples"
        told = [_VERSION, rows, layout, source.pre.canonical(), tokenizer, self._limit]
        return (
            self._data.folder
            / "samples"
            / hashlib.blake2b(json.dumps(told).encode(), digest_size=16).hexdigest()
        )


def _tokenizer_identity(tokenizer: HfTokenizer) -> str:
    """What decides the ids that a tokenizer gives; empty where that cannot be told."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return ""
    told = [
        backend.to_str(), type(tokenizer).__qualname__, str(tokenizer.chat_template),
        str(tokenizer.special_tokens_map), version("tokenizers"), version("transformers"),
    ]  # fmt: skip
    return hashlib.blake2b("\0".join(told).encode(), digest_size=16).hexdigest()
