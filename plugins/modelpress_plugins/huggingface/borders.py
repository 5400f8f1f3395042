"""Where a prompt ends and its answer begins, in ids: pieces of text are joined to what the model learns.

A model is asked with the ids of the prompt alone, so the answer is learned after these very ids. Most often
the ids of the whole text begin with them, and are taken as they are. Where the tokenizer would write the end
of the prompt and the beginning of the answer as one token (a prompt that ends with a space: `is: ` and `sad`
become `is`, `:`, ` sad`), no id of that token stands in a prompt: the answer's ids begin anew at the border.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from modelpress.api import NO_LOSS
from modelpress_plugins.hf.ids import HfTokenizer, encode_prompts
from modelpress_plugins.huggingface.tokens import Tokens

_ANCHORS = ("", "\n", "a", ".")
"""What a piece is tokenized behind, to get it without the space that many tokenizers put before a text."""
_SHIFTS = (0, 1, -1, 2, -2)
"""By how many ids the same text may differ in number, alone and in the whole."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text, and whether the loss is taken on it."""

    text: str
    learned: bool


class Borders:
    """Joins pieces. tell: is given the first border that a token would straddle, as a sentence."""

    def __init__(self, tokenizer: HfTokenizer, tell: Callable[[str], None]) -> None:
        self._tokenizer = tokenizer
        self._tell: Callable[[str], None] | None = tell
        self._anchors = list(_ANCHORS)

    def join(self, pieces: Sequence[Piece], starts: Sequence[list[int]]) -> list[Tokens]:
        """The ids of a text and what is learned of them; starts: the ids of the text up to the end of each
        piece, as they are when it stands alone.

        More than one where no ids of the whole text begin with those of each prompt in it: then one for each
        answer, up to its end.
        """
        if all(after[: len(before)] == before for before, after in pairwise(starts)):
            return [_joined(pieces, starts)]
        learned = [i for i, piece in enumerate(pieces) if piece.learned]
        return [self._answered(pieces, starts, i) for i in learned] or [_blank(starts[-1])]

    def _answered(self, pieces: Sequence[Piece], starts: Sequence[list[int]], index: int) -> Tokens:
        prompt, whole = starts[index - 1] if index else [], starts[index]
        if whole[: len(prompt)] == prompt:
            answer: list[int] | None = whole[len(prompt) :]
        else:
            answer = self._going_on(prompt, whole, pieces[index].text)
            self._tell_once(prompt, whole, answer is not None)
        if answer is not None:
            return Tokens(prompt + answer, [NO_LOSS] * len(prompt) + answer)
        same = _common(prompt, whole)
        return Tokens(whole, [NO_LOSS] * same + whole[same:])

    def _going_on(self, prompt: list[int], whole: list[int], text: str) -> list[int] | None:
        """Ids that make the text of the whole when they follow the prompt's; None when none are found."""
        first = max(0, _common(prompt, whole) - 1)  # what begins alike is decoded alike
        wanted, before = self._text(whole[first:]), prompt[first:]
        for ids in self._candidates(prompt, whole, text):
            if self._text(before + ids) == wanted:
                return ids
        return None

    def _candidates(self, prompt: list[int], whole: list[int], text: str) -> Iterator[list[int]]:
        """Those of the whole where a border falls there, too; then the text by itself."""
        yield from (
            whole[len(prompt) + shift :] for shift in _SHIFTS if 0 <= len(prompt) + shift < len(whole)
        )
        for anchor in list(self._anchors):
            head, both = encode_prompts(self._tokenizer, [anchor, anchor + text], False)
            if both[: len(head)] == head:
                yield both[len(head) :]

    def _text(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def _tell_once(self, prompt: list[int], whole: list[int], parted: bool) -> None:
        tell, self._tell = self._tell, None
        if tell is None:
            return
        same = _common(prompt, whole)
        end, token = self._text(prompt[same:]), self._text(whole[same : same + 1])
        done = (
            "the answer begins after the prompt's own ids, as it does when the model is asked"
            if parted
            else "the whole token counts as the answer's, though the model is asked with the prompt's own ids"
        )
        tell(
            f"The tokenizer writes the end of a prompt ({end!r}) and the beginning of its answer as one "
            f"token ({token!r}): in training {done}. A prompt that ends without a blank, and an answer that "
            "begins with it, let the model use the token that it knows."
        )


def _joined(pieces: Sequence[Piece], starts: Sequence[list[int]]) -> Tokens:
    labels: list[int] = []
    for piece, ids in zip(pieces, starts, strict=True):
        new = ids[len(labels) :]
        labels += new if piece.learned else [NO_LOSS] * len(new)
    return Tokens(list(starts[-1]) if starts else [], labels)


def _blank(ids: list[int]) -> Tokens:
    return Tokens(list(ids), [NO_LOSS] * len(ids))


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids two sequences begin with alike."""
    return next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
