"""A model opened in its runtime, and what its tokenizer can do: the protocols.

Nothing here imports a heavy library; arrays and tokenizers appear as Any with their shape in the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Tokenizer(Protocol):
    """What turns text into ids, as far as the core uses one. Plugins know more of those that they open."""

    def decode(self, token_ids: Sequence[int], /) -> str: ...


class LoadedModel(Protocol):
    """A model opened in its runtime."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn, where it is not simply the likeliest.

    temperature: above 0; 1 leaves the distribution as the model gives it, less makes it sharper
    top_p:       0 to 1; drawn from the likeliest that together have this probability (nucleus sampling)
    top_k:       drawn from so many of the likeliest; 0 for all
    seed:        the same seed, the same answer
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0


class TextModel(LoadedModel, Protocol):
    """A causal language model opened in its runtime, whichever that is.

    tokenizer is a `Tokenizer` at least; eos_ids are the ids that end an answer.
    """

    tokenizer: Any
    eos_ids: frozenset[int]
    context_length: int

    def logits(self, ids: Sequence[int]) -> Any:
        """numpy float32 (len(ids), vocabulary): row i predicts token i + 1."""

    def generate(
        self, ids: Sequence[int], max_new_tokens: int, sampling: Sampling | None = None
    ) -> Iterator[int]:
        """New ids one by one; ends after an id in eos_ids (which is yielded) or at the limit.

        sampling: None for greedy.
        """

    def generate_batch(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[list[int]]:
        """Greedy answers to several prompts; without the prompt, cut before the first id in eos_ids."""
