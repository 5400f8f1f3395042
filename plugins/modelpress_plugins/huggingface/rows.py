"""Rows of a data set, on disk: loaded with the `datasets` library, chosen by number, cut by content."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import datasets  # type: ignore[import-untyped]

from modelpress.api import UserError, content_identity
from modelpress_plugins.huggingface.data_config import Holdout, LoadDataset
from modelpress_plugins.huggingface.data_files import FILE_KINDS, all_files, data_name, is_resource

_BATCH = 1000
_WHOLE = 2.0**64


@dataclass(frozen=True)
class Rows:
    """Rows by number. numbers is None for all rows; else those rows, in that order.

    A streamed data set can be read in its own order only, and numbers must then ascend.
    """

    name: str
    dataset: Any
    numbers: Sequence[int] | None = None

    def __iter__(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """(number of the row in the file, counting from 1; the row)."""
        if isinstance(self.dataset, datasets.IterableDataset):
            yield from self._stream()
            return
        numbers = range(len(self.dataset)) if self.numbers is None else self.numbers
        for start in range(0, len(numbers), _BATCH):
            chosen = numbers[start : start + _BATCH]
            batch = self.dataset[list(chosen)]
            for i, number in enumerate(chosen):
                yield number + 1, {column: values[i] for column, values in batch.items()}

    def place(self, number: int) -> str:
        """How a row is called in errors."""
        return f"Row {number} of {self.name}"

    def select(self, numbers: Sequence[int]) -> Rows:
        """Rows by their number in the file, counting from 0."""
        return Rows(self.name, self.dataset, numbers)

    def shuffled(self, seed: int) -> Rows:
        """The same rows in a random order that the seed alone decides."""
        numbers = array("q", range(len(self.dataset)) if self.numbers is None else self.numbers)
        Random(seed).shuffle(numbers)
        return self.select(numbers)

    def _stream(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        wanted = None if self.numbers is None else iter(self.numbers)
        following = next(wanted, None) if wanted else None
        for number, row in enumerate(self.dataset):
            if wanted is None:
                yield number + 1, row
            elif following is None:
                return
            elif number == following:
                yield number + 1, row
                following = next(wanted, None)


def load_rows(load: LoadDataset, folder: Path) -> Rows:
    """Load a data set, converted once into `folder`. Raises UserError when it cannot be loaded."""
    # It counts downloads with a request to a server, even for a file on this machine.
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False
    datasets.disable_progress_bars()
    files, kind = load.data_files, data_name(load)
    if is_resource(files):
        raise UserError(f"The data files are a resource that was not fetched: {files}.")
    options: dict[str, Any] = {"data_files": files, "split": load.split, "streaming": load.streaming}
    if load.field:
        options["field"] = load.field
    if kind == "csv":
        options["delimiter"] = load.delimiter or ("\t" if _first(files).endswith(".tsv") else ",")
    if kind not in FILE_KINDS:
        options |= {"name": load.subset, "data_dir": load.data_dir, "revision": load.revision}
    elif load.data_dir and not files:
        options["data_dir"] = load.data_dir
    name = Path(_first(files)).name if files else (kind or str(load.data_dir))
    try:
        loaded = datasets.load_dataset(kind or "json", cache_dir=str(_cache(folder, files)), **options)
    except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError) as error:
        raise _unloadable(name, error) from error
    if not load.streaming and not len(loaded):
        raise UserError(f"The data set {name} has no rows (split {load.split!r}).")
    return Rows(name, loaded)


def holdout_part(rows: Rows, holdout: Holdout) -> Rows:
    """The part of the rows that the hash of their content puts on the wanted side."""

    def content(row: Mapping[str, Any], place: str) -> str:
        if missing := [column for column in holdout.by or () if column not in row]:
            raise UserError(f"{place} has no {missing[0]!r}, which holdout.by names.")
        chosen = row if holdout.by is None else {column: row[column] for column in holdout.by}
        return json.dumps(chosen, sort_keys=True, default=str)

    bound = int(holdout.share * _WHOLE)
    numbers = array("q")
    for number, row in rows:
        held = _digest(content(row, rows.place(number)), holdout.seed) < bound
        if held == (holdout.part == "eval"):
            numbers.append(number - 1)
    if not numbers:
        raise UserError(
            f"No row of {rows.name} falls into the part {holdout.part!r}.", "Change the share or seed."
        )
    return rows.select(numbers)


def split_rows(
    rows: Rows, content: Callable[[Mapping[str, Any], str], str], eval_size: float, seed: int
) -> tuple[Rows, Rows]:
    """(train, eval), cut so that rows of equal content are on one side. See DataSource.split."""
    numbers, digests = array("q"), array("Q")
    for number, row in rows:
        numbers.append(number - 1)
        digests.append(_digest(content(row, rows.place(number)), seed))
    wanted = round(eval_size * len(numbers)) if eval_size < 1 else int(eval_size)
    held = _held_out(digests, max(1, wanted), rows.name)
    train = array("q", (n for n, digest in zip(numbers, digests, strict=True) if digest not in held))
    evaluation = array("q", (n for n, digest in zip(numbers, digests, strict=True) if digest in held))
    return rows.select(train), rows.select(evaluation)


def _held_out(digests: Sequence[int], wanted: int, name: str) -> set[int]:
    """Contents that make up the wanted number of rows, or just above it; never all contents."""
    counts: dict[int, int] = {}
    for digest in digests:
        counts[digest] = counts.get(digest, 0) + 1
    if wanted >= len(digests) or len(counts) < 2:
        raise UserError(
            f"{wanted} rows cannot be held out of {name}: it has {len(digests)} rows, {len(counts)} of them "
            "distinct.",
            "Lower eval_dataset_size.",
        )
    held: set[int] = set()
    rows = 0
    for digest in sorted(counts)[:-1]:
        if rows >= wanted:
            break
        held.add(digest)
        rows += counts[digest]
    return held


def _digest(content: str, seed: int) -> int:
    """64 bits that depend on content and seed, and on nothing else."""
    hashed = hashlib.blake2b(content.strip().encode(), digest_size=8, key=str(seed).encode())
    return int.from_bytes(hashed.digest(), "big")


def _cache(folder: Path, files: Any) -> Path:
    """Below the folder, one for each content of local files: a file that was replaced is read again, even
    when its time is the old one."""
    paths = [Path(file) for file in all_files(files)]
    if not paths or not all(path.is_file() for path in paths):
        return folder / "hub"
    identity = hashlib.blake2b("\n".join(content_identity(path) for path in paths).encode(), digest_size=8)
    return folder / identity.hexdigest()


def _first(files: Any) -> str:
    return next(all_files(files), "")


def _unloadable(name: str, error: BaseException) -> UserError:
    """The innermost reason: the library wraps what it says in `An error occurred while generating`."""
    while error.__cause__ is not None:
        error = error.__cause__
    reason = " ".join(str(error).split())
    return UserError(f"The data set {name} cannot be loaded: {reason[:400]}")
