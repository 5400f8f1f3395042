"""Text from a model as it comes: ids in, whole characters out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from modelpress.api import Sampling, TextModel
from modelpress_plugins.hf.ids import HfTokenizer

_INCOMPLETE = "�"
_LONGEST_WAIT = 16  # ids; a replacement character that outlasts them is in the text itself


def stream_text(
    model: TextModel, ids: Sequence[int], max_new_tokens: int = 256, sampling: Sampling | None = None
) -> Iterator[str]:
    """The model's answer to a prompt, piece by piece; the pieces joined are the whole answer.

    The id that ends the answer gives no text. sampling: None for greedy.
    """
    made = model.generate(ids, max_new_tokens, sampling) if sampling else model.generate(ids, max_new_tokens)
    answer = (id for id in made if id not in model.eos_ids)
    return decode_stream(model.tokenizer, answer)


def decode_stream(tokenizer: HfTokenizer, ids: Iterable[int]) -> Iterator[str]:
    """Decode ids one by one. A character that several ids make up is held back until it is whole.

    tokenizer: a transformers tokenizer.
    """
    # Decoded alone, an id may lose the space before it (SentencePiece): each piece is the difference that
    # an id makes after the ids before it, of which the last word is enough.
    before: list[int] = []
    held: list[int] = []
    for id in ids:
        held.append(id)
        piece = _piece(tokenizer, before, held)
        if piece.endswith(_INCOMPLETE) and len(held) < _LONGEST_WAIT:
            continue
        if piece:
            yield piece
            before, held = held, []
    if held and (piece := _piece(tokenizer, before, held)):
        yield piece


def _piece(tokenizer: HfTokenizer, before: list[int], ids: list[int]) -> str:
    # Tidying spaces before punctuation would change text that has already been given out.
    options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
    start: str = tokenizer.decode(before, **options)
    whole: str = tokenizer.decode(before + ids, **options)
    return whole[len(start) :]
