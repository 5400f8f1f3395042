"""How far a model's expectations are from those of the model that it was made from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from modelpress.api import Artifact, Estimate, PassContext, TextModel
from modelpress_plugins.metrics.config import DivergenceOptions
from modelpress_plugins.metrics.log_probabilities import log_probabilities
from modelpress_plugins.metrics.perplexity import labelled, unpadded
from modelpress_plugins.metrics.spread import ratio
from modelpress_plugins.metrics.text_model import no_data, opened

Rows = NDArray[np.float32]
_ASKED = "asked.json"


@dataclass(frozen=True, slots=True)
class Compared:
    """Of each sample: nats of divergence, and tokens with the same first choice, over so many tokens."""

    nats: list[float]
    same: list[int]
    tokens: list[int]


@dataclass(frozen=True, slots=True)
class Asked:
    """A sample: its ids, and the positions of the tokens that count."""

    ids: Sequence[int]
    positions: Sequence[int]


def kl_divergence(model: Artifact, config: DivergenceOptions, ctx: PassContext) -> Mapping[str, Estimate]:
    """Mean over the tokens of KL(input model || model), in nats (S. Kullback, R. Leibler 1951): 0 for the
    same expectations. Both models are asked about the same ids."""
    found = compare(model, config, ctx)
    return {"kl_divergence": ratio(found.nats, found.tokens)}


def top1_agreement(model: Artifact, config: DivergenceOptions, ctx: PassContext) -> Mapping[str, Estimate]:
    """Share of the tokens at which both models hold the same next token most likely."""
    found = compare(model, config, ctx)
    return {"top1_agreement": ratio(found.same, found.tokens)}


def compare(model: Artifact, config: DivergenceOptions, ctx: PassContext) -> Compared:
    """One model is open at a time: what the input model says lies on the disk, and is asked for once for all
    that are compared with it. Raises UserError when the data has no tokens with a label."""
    found = Compared([], [], [])
    with _expected(config, ctx) as (asked, folder), opened(model, ctx) as loaded:
        for number, each in enumerate(asked):
            expected = np.load(folder / f"{number}.npy", mmap_mode="r")
            nats, same = differences(expected, _logits(loaded, each))
            found.nats.append(nats)
            found.same.append(same)
            found.tokens.append(len(each.positions))
            ctx.progress(len(asked) + number + 1, 2 * len(asked), "samples")
    return found


@contextmanager
def _expected(config: DivergenceOptions, ctx: PassContext) -> Iterator[tuple[list[Asked], Path]]:
    """The samples, and the folder with what the input model expects of each: `N.npy`."""
    if ctx.compared_folder is None:
        yield _ask(config, ctx, ctx.scratch), ctx.scratch
        return
    kept = ctx.compared_folder / f"{config.max_samples or 'all'}-{config.max_tokens}"
    asked = _known(kept)
    if asked is None:
        part = kept.with_name(f"{uuid4().hex}.part")
        part.mkdir(parents=True)
        try:
            asked = _ask(config, ctx, part)
            if _known(kept) is None:  # else another job was faster
                shutil.rmtree(kept, ignore_errors=True)  # what is there is damaged
                with suppress(OSError):
                    part.rename(kept)
            yield asked, kept if _known(kept) else part
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return
    yield asked, kept


def _known(folder: Path) -> list[Asked] | None:
    try:
        listed = json.loads((folder / _ASKED).read_text(encoding="ascii"))
        sizes = [(folder / f"{number}.npy").stat().st_size for number in range(len(listed))]
        whole = sizes == [size for _, _, size in listed]
        return [Asked(ids, positions) for ids, positions, _ in listed] if whole else None
    except (OSError, ValueError, TypeError):
        return None


def _ask(config: DivergenceOptions, ctx: PassContext, folder: Path) -> list[Asked]:
    data = ctx.data("data")
    with opened(ctx.input_model, ctx) as loaded:
        samples = [unpadded(s) for s in islice(data.samples(loaded.tokenizer), config.max_samples)]
        asked = list(_shortened(samples, loaded.context_length, config.max_tokens))
        if not asked:
            raise no_data(data.name, "tokens with a label")
        for number, each in enumerate(asked):
            np.save(folder / f"{number}.npy", _logits(loaded, each))
            ctx.progress(number + 1, 2 * len(asked), "samples")
    listed = [
        (list(map(int, each.ids)), list(map(int, each.positions)), (folder / f"{number}.npy").stat().st_size)
        for number, each in enumerate(asked)
    ]
    (folder / _ASKED).write_text(json.dumps(listed), encoding="ascii")
    return asked


def differences(expected: Rows, given: Rows) -> tuple[float, int]:
    """(nats, rows with the same largest) of logits; a vocabulary that was padded counts as far as both go."""
    width = min(expected.shape[-1], given.shape[-1])
    nats, same = 0.0, 0
    for start in range(0, len(expected), _ROWS_AT_ONCE):
        ours = log_probabilities(expected[start : start + _ROWS_AT_ONCE, :width])
        theirs = log_probabilities(given[start : start + _ROWS_AT_ONCE, :width])
        nats += float((np.exp(ours) * (ours - theirs)).sum())
        same += int((ours.argmax(axis=-1) == theirs.argmax(axis=-1)).sum())
    return max(nats, 0.0), same


_ROWS_AT_ONCE = 64
"""A vocabulary of 256,000 in float64 takes 2 MB a row."""


def _shortened(
    samples: Sequence[tuple[Sequence[int], Sequence[int]]], longest: int, most: int
) -> Iterator[Asked]:
    """Each sample, until so many tokens are reached."""
    left = most
    for ids, labels in samples:
        positions = labelled(labels[:longest])[:left]
        if positions:
            left -= len(positions)
            yield Asked(ids[: positions[-1] + 1], positions)
        if not left:
            return


def _logits(model: TextModel, asked: Asked) -> Rows:
    """(len(positions), vocabulary): what is expected at each position, by the ids before it."""
    rows: Rows = np.asarray(model.logits(asked.ids), dtype=np.float32)
    return np.take(rows, [position - 1 for position in asked.positions], axis=0)
