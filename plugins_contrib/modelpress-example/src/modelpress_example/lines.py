"""The data container: the lines of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Protocol

from modelpress.api import DataContext, DataFacts, Exchange, PlanContext, ResourcePath, Sample, UserError

from .options import LinesOptions


class Encodes(Protocol):
    def encode(self, text: str) -> list[int]: ...


class Lines:
    """A DataSource."""

    prompt_template: str | None = None

    def __init__(self, name: str, lines: Sequence[str]) -> None:
        self.name = name
        self._lines = lines

    def records(self) -> Iterator[Mapping[str, str]]:
        yield from ({"line": line} for line in self._lines)

    def samples(
        self, tokenizer: Encodes, limit: int | None = None, seed: int | None = None
    ) -> Iterator[Sample]:
        wanted = list(self._lines)
        if seed is not None:
            Random(seed).shuffle(wanted)
        for line in wanted[:limit]:
            ids = tokenizer.encode(line)
            yield Sample(ids, list(ids))

    def exchanges(self, tokenizer: object = None) -> Iterator[Exchange]:
        raise UserError("Lines have no prompt and answer.", "Take a container that tells which is which.")

    def split(self, eval_size: float, seed: int) -> tuple[Lines, Lines]:
        unique = sorted(set(self._lines))
        Random(seed).shuffle(unique)
        count = int(eval_size) if eval_size >= 1 else max(1, round(eval_size * len(unique)))
        apart = set(unique[:count])
        train = [line for line in self._lines if line not in apart]
        return Lines(self.name, train), Lines(self.name, [line for line in self._lines if line in apart])


def _read(file: ResourcePath) -> list[str]:
    """The lines with something in them. A resource that is not here yet says so by itself."""
    return [line for line in Path(file).read_text(encoding="utf-8").splitlines() if line]


def open_lines(options: LinesOptions, data: DataContext) -> Lines:
    return Lines("lines", _read(options.data_files))


def describe_lines(options: LinesOptions, ctx: PlanContext) -> DataFacts:
    lines = _read(options.data_files)
    if not lines:
        ctx.problem(f"{options.data_files} has no text.", "Name another file.", option="data_files")
    return DataFacts(columns=("line",), rows=len(lines))
