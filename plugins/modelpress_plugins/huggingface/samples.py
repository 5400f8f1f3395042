"""From texts to samples: ids, what the loss covers, and the five strategies of cutting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from modelpress.api import NO_LOSS, Sample
from modelpress_plugins.hf.ids import HfTokenizer, encode_prompts, ends_with
from modelpress_plugins.huggingface.borders import Borders, Piece
from modelpress_plugins.huggingface.data_config import PreProcess
from modelpress_plugins.huggingface.tokens import Tokens

_TEXTS_AT_ONCE = 1000


def make_tokens(
    texts: Iterable[Sequence[Piece]], pre: PreProcess, tokenizer: HfTokenizer, tell: Callable[[str], None]
) -> Iterator[Tokens]:
    """The samples of the texts, in their order, without padding. tell: is given what the user should know."""
    return islice(_cut(encode(texts, pre, tokenizer, tell), pre, tokenizer), pre.max_samples)


def encode(
    texts: Iterable[Sequence[Piece]], pre: PreProcess, tokenizer: HfTokenizer, tell: Callable[[str], None]
) -> Iterator[Tokens]:
    """Each text as ids, begin and end tokens included where they are asked for."""
    special, eos, borders = pre.add_special_tokens, tokenizer.eos_token_id, Borders(tokenizer, tell)
    for batch in _batches(texts):
        starts = [_starts(pieces) for pieces in batch]
        encoded = iter(encode_prompts(tokenizer, [s for each in starts for s in each], special))
        for pieces, each in zip(batch, starts, strict=True):
            parts = borders.join(pieces, [next(encoded) for _ in each])
            for tokens in parts:
                if special and eos is not None and not ends_with(eos, tokens.ids):
                    tokens.ids.append(eos)
                    learned = len(parts) > 1 or (pieces and pieces[-1].learned)
                    tokens.labels.append(eos if learned else NO_LOSS)
                yield tokens


def _batches(texts: Iterable[Sequence[Piece]]) -> Iterator[list[Sequence[Piece]]]:
    iterator = iter(texts)
    while batch := list(islice(iterator, _TEXTS_AT_ONCE)):
        yield batch


def _starts(pieces: Sequence[Piece]) -> list[str]:
    """The text up to the end of each piece."""
    if len(pieces) == 1:
        return [pieces[0].text]
    text, starts = "", []
    for piece in pieces:
        text += piece.text
        starts.append(text)
    return starts


def _cut(documents: Iterator[Tokens], pre: PreProcess, tokenizer: HfTokenizer) -> Iterator[Tokens]:
    strategy, length = pre.strategy_in_use, pre.max_seq_len
    made: Iterator[Tokens]
    if strategy.startswith("line-by-line"):
        made = (_shorten(document, length, tokenizer) for document in documents)
    elif pre.masks_prompt:
        made = _pack(documents, length, _joint(pre, tokenizer), tokenizer)
    elif strategy == "join-sliding-window":
        made = _windows(_stream(documents, _joint(pre, tokenizer)), length, pre.stride or length)
    else:
        made = _windows(_stream(documents, _joint(pre, tokenizer)), length, length)
    for tokens in made:
        # The label of the first token teaches nothing: nothing stands before it.
        learns = tokens.labels.count(NO_LOSS) - (tokens.labels[:1] == [NO_LOSS]) < len(tokens) - 1
        if learns and not (pre.drop_short_sequences and len(tokens) < length):
            yield tokens


def _joint(pre: PreProcess, tokenizer: HfTokenizer) -> list[int]:
    """The ids between two texts that are joined."""
    joiner = pre.joiner if pre.joiner is not None else ("" if pre.add_special_tokens else "\n\n")
    return encode_prompts(tokenizer, [joiner], False)[0] if joiner else []


def _shorten(tokens: Tokens, length: int, tokenizer: HfTokenizer) -> Tokens:
    """Cut to the length: at the beginning of a prompt, so that its answer stays; else at the end."""
    surplus = len(tokens) - length
    if surplus <= 0:
        return tokens
    kept = int(tokens.ids[0] == tokenizer.bos_token_id)
    asked = next((i for i, label in enumerate(tokens.labels) if label != NO_LOSS), 0)
    cut = max(0, min(surplus, asked - kept - 1))
    ids = tokens.ids[:kept] + tokens.ids[kept + cut :]
    labels = tokens.labels[:kept] + tokens.labels[kept + cut :]
    return Tokens(ids[:length], labels[:length])


def _pack(
    documents: Iterator[Tokens], length: int, joint: list[int], tokenizer: HfTokenizer
) -> Iterator[Tokens]:
    """Whole texts, as many as fit: an answer is never parted from its prompt."""
    pack = Tokens([], [])
    for document in documents:
        document = _shorten(document, length, tokenizer)
        gap = joint if pack.ids else []
        if len(pack) + len(gap) + len(document) > length:
            yield pack
            pack, gap = Tokens([], []), []
        pack = Tokens(pack.ids + gap + document.ids, pack.labels + [NO_LOSS] * len(gap) + document.labels)
    if pack.ids:
        yield pack


def _stream(documents: Iterator[Tokens], joint: list[int]) -> Iterator[Tokens]:
    gap = Tokens(joint, list(joint))
    for i, document in enumerate(documents):
        if i and joint:
            yield gap
        yield document


def _windows(stream: Iterator[Tokens], length: int, stride: int) -> Iterator[Tokens]:
    """Windows of one long text, each `stride` after the last. A token that an earlier window has taken
    the loss on is context only."""
    ids: list[int] = []
    labels: list[int] = []
    known = 0
    for tokens in stream:
        ids += tokens.ids
        labels += tokens.labels
        start = 0
        while len(ids) - start >= length:
            yield _window(ids, labels, start, length, known)
            known = max(0, length - stride)
            start += stride
        if start:
            ids, labels = ids[start:], labels[start:]
    if len(ids) > known:
        yield _window(ids, labels, 0, length, known)


def _window(ids: list[int], labels: list[int], start: int, length: int, known: int) -> Tokens:
    ids, labels = ids[start : start + length], labels[start : start + length]
    return Tokens(ids, [NO_LOSS] * known + labels[known:])


def finish(tokens: Tokens, pre: PreProcess, tokenizer: HfTokenizer) -> Sample:
    """As a sample of the API, padded where asked for."""
    ids, labels, mask = tokens.ids, list(tokens.labels), [1] * len(tokens)
    missing = pre.max_seq_len - len(ids)
    if pre.pad_to_max_len and missing > 0:
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        blank = ([pad or 0] * missing, [NO_LOSS] * missing, [0] * missing)
        if pre.padding_side == "left":
            ids, labels, mask = blank[0] + ids, blank[1] + labels, blank[2] + mask
        else:
            ids, labels, mask = ids + blank[0], labels + blank[1], mask + blank[2]
    return Sample(ids, labels, mask if pre.use_attention_mask else None)
