"""Tokenized samples on disk, made once for data, template and tokenizer; mapped into memory.

FOLDER/ids.bin      int32, the tokens of all samples end to end
FOLDER/learned.bin  uint8, 1 where the loss is taken on the token
FOLDER/ends.bin     int64, where each sample ends
FOLDER/complete.json the digests of the three; written last
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpress.api import NO_LOSS
from modelpress_plugins.huggingface.sealed_folder import open_or_make
from modelpress_plugins.huggingface.tokens import Tokens

_AT_ONCE = 4096


@dataclass(frozen=True)
class TokenStore:
    """Samples by number, without padding."""

    folder: Path

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, number: int) -> Tokens:
        start = int(self._ends[number - 1]) if number else 0
        span = slice(start, int(self._ends[number]))
        ids, learned = self._ids[span], self._learned[span]
        return Tokens(ids.tolist(), np.where(learned, ids, NO_LOSS).tolist())

    def __iter__(self) -> Iterator[Tokens]:
        return (self[number] for number in range(len(self)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sample; (samples,)."""
        return np.diff(self._ends, prepend=0)

    @property
    def highest_id(self) -> int:
        return int(self._ids.max(initial=-1))

    @cached_property
    def _ids(self) -> NDArray[np.int32]:
        return _mapped(self.folder / "ids.bin", np.int32)

    @cached_property
    def _learned(self) -> NDArray[np.uint8]:
        return _mapped(self.folder / "learned.bin", np.uint8)

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return _mapped(self.folder / "ends.bin", np.int64)


def store_tokens(folder: Path, made: Iterable[Tokens], on_damage: Callable[[], None]) -> TokenStore:
    """The store in the folder; made where it is not there or damaged."""
    return TokenStore(open_or_make(folder, lambda fresh: _write(fresh, made), on_damage))


def _write(folder: Path, made: Iterable[Tokens]) -> None:
    ids, labels, ends = array("i"), array("i"), array("q")
    written = 0
    with (folder / "ids.bin").open("wb") as id_file, (folder / "learned.bin").open("wb") as learned_file:

        def flush() -> None:
            ids.tofile(id_file)
            (np.frombuffer(labels, np.int32) != NO_LOSS).astype(np.uint8).tofile(learned_file)
            del ids[:], labels[:]

        for number, tokens in enumerate(made, start=1):
            ids.extend(tokens.ids)
            labels.extend(tokens.labels)
            written += len(tokens)
            ends.append(written)
            if number % _AT_ONCE == 0:
                flush()
        if ids:
            flush()
    (folder / "ends.bin").write_bytes(ends.tobytes())


def _mapped(path: Path, dtype: Any) -> NDArray[Any]:
    return np.memmap(path, dtype, "r") if path.stat().st_size else np.zeros(0, dtype)
