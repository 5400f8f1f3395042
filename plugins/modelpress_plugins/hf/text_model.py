"""A transformers model opened for text: logits, and greedy answers one by one or in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import GenerationConfig

from modelpress.api import Sampling, UserError
from modelpress_plugins.hf.files import NO_TOKENIZER_HINT
from modelpress_plugins.hf.ids import HfTokenizer
from modelpress_plugins.hf.sampling import Draw, greedy

_TOKENS_AT_ONCE = 16_384  # of prompts in one batch: bounds the memory of the key-value cache


class HfTextModel:
    """A modelpress.api.TextModel over a causal language model of transformers or PEFT."""

    def __init__(self, model: Any, tokenizer: HfTokenizer | None) -> None:
        """tokenizer: None where there is none, which logits and ids do not need."""
        self.model = model
        self._tokenizer = tokenizer
        self.eos_ids = _eos_ids(model, tokenizer)
        self.context_length = int(
            getattr(model.config.get_text_config(), "max_position_embeddings", 0) or 2048
        )
        # What the model's makers recommend (sampling, penalties) would otherwise creep into every answer.
        model.generation_config = _generation_config()

    @property
    def tokenizer(self) -> HfTokenizer:
        """Raises UserError when the model has none."""
        if self._tokenizer is None:
            raise UserError(f"{self.model.name_or_path or 'The model'} has no tokenizer.", NO_TOKENIZER_HINT)
        return self._tokenizer

    @torch.inference_mode()
    def logits(self, ids: Sequence[int]) -> Any:
        """numpy float32 (len(ids), vocabulary): row i predicts token i + 1."""
        given = torch.tensor([list(ids)], device=self.model.device)  # (1, length)
        return self.model(input_ids=given, use_cache=False).logits[0].float().cpu().numpy()

    def generate(
        self, ids: Sequence[int], max_new_tokens: int, sampling: Sampling | None = None
    ) -> Iterator[int]:
        """New ids one by one; ends after an id in eos_ids (which is yielded) or at the limit.

        sampling: None for greedy.
        """
        draw = Draw(sampling) if sampling else greedy
        given = torch.tensor([list(ids)], device=self.model.device)  # (1, length); later (1, 1)
        cache = None
        for _ in range(max_new_tokens):
            with torch.inference_mode():
                answer = self.model(input_ids=given, past_key_values=cache, use_cache=True)
                given = draw(answer.logits[:, -1:])
            cache = answer.past_key_values
            token = int(given)
            yield token
            if token in self.eos_ids:
                return

    def generate_batch(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[list[int]]:
        """Greedy answers to several prompts; without the prompt, cut before the first id in eos_ids."""
        answers: list[list[int]] = [[] for _ in prompts]
        for batch in _batches([len(prompt) for prompt in prompts], max_new_tokens):
            made = self._generate([prompts[i] for i in batch], max_new_tokens)
            for i, answer in zip(batch, made, strict=True):
                answers[i] = answer
        return answers

    def close(self) -> None:
        """Give the memory back."""
        device = self.model.device
        del self.model
        if device.type == "cuda":
            torch.cuda.empty_cache()

    @torch.inference_mode()
    def _generate(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[list[int]]:
        longest = max(len(prompt) for prompt in prompts)
        pad = self._pad_id()
        ids = torch.tensor([[pad] * (longest - len(p)) + list(p) for p in prompts])  # (batch, longest)
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])  # (batch, longest)
        config = _generation_config(
            max_new_tokens=max_new_tokens,
            eos_token_id=sorted(self.eos_ids) or None,
            pad_token_id=pad,
        )
        made = self.model.generate(
            input_ids=ids.to(self.model.device),
            attention_mask=mask.to(self.model.device),
            generation_config=config,
        )
        return [self._before_eos(row) for row in made[:, longest:].tolist()]

    def _before_eos(self, ids: list[int]) -> list[int]:
        end = next((i for i, token in enumerate(ids) if token in self.eos_ids), len(ids))
        return ids[:end]

    def _pad_id(self) -> int:
        if self._tokenizer is not None and self._tokenizer.pad_token_id is not None:
            return int(self._tokenizer.pad_token_id)
        return min(self.eos_ids, default=0)


def _generation_config(**values: Any) -> Any:
    return GenerationConfig(do_sample=False, **values)  # type: ignore[no-untyped-call]


def _batches(lengths: Sequence[int], max_new_tokens: int) -> Iterator[list[int]]:
    """Positions in groups of like length, the longest first, so that little is padded."""
    group: list[int] = []
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    for i in order:
        longest = lengths[group[0]] if group else lengths[i]
        if group and (len(group) + 1) * (longest + max_new_tokens) > _TOKENS_AT_ONCE:
            yield group
            group = []
        group.append(i)
    if group:
        yield group


def _eos_ids(model: Any, tokenizer: HfTokenizer | None) -> frozenset[int]:
    """What ends an answer: what the model's generation config says (or else its config), and the
    tokenizer's end token."""
    said = model.generation_config.eos_token_id if model.generation_config else None
    if said is None:
        said = model.config.get_text_config().eos_token_id
    found = set(said) if isinstance(said, list | tuple) else {said}
    own = tokenizer.eos_token_id if tokenizer is not None else None
    return frozenset(int(i) for i in found | {own} if i is not None)
