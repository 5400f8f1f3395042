"""The data container `HuggingfaceContainer`, opened: rows on disk, made into samples when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sized
from typing import Any

from modelpress.api import DataContext, Exchange, UserError
from modelpress_plugins.hf.ids import HfTokenizer
from modelpress_plugins.huggingface.borders import Piece
from modelpress_plugins.huggingface.data_config import HuggingfaceOptions, PreProcess
from modelpress_plugins.huggingface.layout import make_layout
from modelpress_plugins.huggingface.recognize import recognize
from modelpress_plugins.huggingface.rows import Rows, holdout_part, load_rows, split_rows
from modelpress_plugins.huggingface.stored_samples import StoredSamples
from modelpress_plugins.huggingface.text import Layout, PairLayout, TemplateLayout, Turn


def open_huggingface(config: HuggingfaceOptions, data: DataContext) -> HuggingfaceSource:
    """Open a data config; converted data sets and tokenized samples are kept."""
    rows = load_rows(config.load_dataset_config, data)
    if config.holdout:
        rows = holdout_part(rows, config.holdout)
    _, first = next(iter(rows))
    pre = recognize(config.pre_process_data_config, first).pre
    return HuggingfaceSource(rows, pre, make_layout(config, pre, first), data)


class HuggingfaceSource:
    """A modelpress.api.DataSource over rows of text."""

    def __init__(self, rows: Rows, pre: PreProcess, layout: Layout, data: DataContext) -> None:
        self.name = rows.name
        self.rows = rows
        self.pre = pre
        self.layout = layout
        self._data = data

    @property
    def prompt_template(self) -> str | None:
        """The text of a row up to the answer, `{column}` where a column goes."""
        return self.layout.prompt if isinstance(self.layout, TemplateLayout | PairLayout) else None

    def records(self) -> Iterator[Mapping[str, Any]]:
        return (row for _, row in self.rows)

    def samples(
        self, tokenizer: HfTokenizer, limit: int | None = None, seed: int | None = None
    ) -> StoredSamples:
        """Made when they are first asked for by number; those that are only gone through are not kept."""
        source = self if limit is None or seed is None else self._drawn(limit, seed)
        return StoredSamples(source, tokenizer, limit, self._data)

    def exchanges(self, tokenizer: HfTokenizer | None = None) -> Iterator[Exchange]:
        for number, row in self.rows:
            place = self.rows.place(number)
            turns = self.layout.texts(row, place, tokenizer)[-1]
            last = max((i for i, turn in enumerate(turns) if turn.answer is not None), default=None)
            if last is None:
                raise UserError(
                    f"{place}: the data config does not tell which part is the answer.",
                    "Use a template with the answer as its last placeholder, a pair, or a chat.",
                )
            before = "".join(turn.text for turn in turns[:last])
            yield Exchange(before + turns[last].prompt, turns[last].answer or "")

    def split(self, eval_size: float, seed: int) -> tuple[HuggingfaceSource, HuggingfaceSource]:
        train, evaluation = split_rows(self.rows, self.layout.content, eval_size, seed)
        return self._with(train), self._with(evaluation)

    def texts(self, tokenizer: HfTokenizer) -> Iterator[list[Piece]]:
        """Each row as pieces of text. Rows without text are passed over; without an answer, refused."""
        rows, pre = self.rows, self.pre
        if pre.strategy_in_use.endswith("-random"):
            rows = rows.shuffled(pre.random_seed)
        for number, row in rows:
            place = rows.place(number)
            for turns in self.layout.texts(row, place, tokenizer):
                if any(turn.text.strip() for turn in turns):
                    yield _masked(turns, place) if pre.masks_prompt else [_plain(turns)]

    def _with(self, rows: Rows) -> HuggingfaceSource:
        return HuggingfaceSource(rows, self.pre, self.layout, self._data)

    def _drawn(self, limit: int, seed: int) -> HuggingfaceSource:
        """The rows in an order of chance, where there are more than `limit`: the first then stand for all."""
        table, strategy = self.rows.table, self.pre.strategy_in_use
        if not isinstance(table, Sized) or len(table) <= limit or strategy.endswith("-random"):
            return self
        return self._with(self.rows.shuffled(seed))


def _plain(turns: list[Turn]) -> Piece:
    return Piece("".join(turn.text for turn in turns), True)


def _masked(turns: list[Turn], place: str) -> list[Piece]:
    """The pieces of a row of which only the answers are learned."""
    pieces: list[Piece] = []
    for turn in turns:
        pieces.append(Piece(turn.prompt, False))
        pieces.append(Piece((turn.answer or "") + turn.tail, turn.answer is not None))
    if not any(turn.answer for turn in turns):
        raise UserError(f"{place} has no answer to learn from.", "Leave the row out, or give it an answer.")
    return [piece for piece in pieces if piece.text]
