"""A language model opened in onnxruntime-genai."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelpress.api import Artifact, PassError, Sampling, UserError
from modelpress_plugins.hf.ids import HfTokenizer
from modelpress_plugins.hf.tokenizer import open_tokenizer
from modelpress_plugins.model_builder.check import CONFIG, check, read_config
from modelpress_plugins.model_builder.runtime import og

CPU = "cpu"
_LARGEST_BATCH = 64 * 256
"""Sequences in a batch times their length: bounds the key-value cache."""

_GREEDY = {
    "do_sample": False,
    "num_beams": 1,
    "num_return_sequences": 1,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "min_length": 0,
}
"""genai_config.json may say otherwise for chats; numbers must not depend on it."""


def load(artifact: Artifact, device: str) -> GenAIModel:
    """Open an ort-genai artifact. Raises UserError for missing files, PassError when the runtime refuses."""
    check(artifact.path)
    return GenAIModel(artifact.path, device, trust_remote_code=artifact.meta.trust_remote_code)


class GenAIModel:
    """A TextModel over onnxruntime-genai.

    The folder's configuration says which execution provider runs it; on the device `cpu` that is always
    the CPU.
    """

    def __init__(self, folder: Path, device: str, *, trust_remote_code: bool = False) -> None:
        facts = read_config(folder)["model"]
        self.context_length = int(facts["context_length"])
        self.eos_ids = frozenset(_as_list(facts.get("eos_token_id")))
        self.tokenizer: HfTokenizer = open_tokenizer(folder, trust_remote_code=trust_remote_code)
        self._pad_id: int | None = facts.get("pad_token_id")
        self._window = int(facts.get("decoder", {}).get("sliding_window", {}).get("window_size", 0))
        self._model: Any = _open(folder, device)

    def close(self) -> None:
        """Free the weights. Generators that were handed out end first."""
        self._model = None

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """float32 (len(ids), vocabulary): row i predicts token i + 1."""
        found = self.logits_in_steps(ids, len(ids))
        # A head that was pruned gives the last position of what it is given.
        return found if len(found) == len(ids) else self.logits_in_steps(ids, 1)

    def logits_in_steps(self, ids: Sequence[int], prompt: int) -> NDArray[np.float32]:
        """The same, with the first `prompt` ids in one go and the rest one by one, as in generation.

        Runtimes have other code for one row than for many.
        """
        generator = self._generator(1, len(ids))
        steps = [ids[:prompt], *([i] for i in ids[prompt:])]
        return np.concatenate([_logits_after(generator, step) for step in steps])

    def answer_in_steps(self, prompt: Sequence[int], new: int) -> tuple[list[int], NDArray[np.float32]]:
        """(prompt and the likeliest `new` ids after it, as many as the context holds; the logits of all).

        An id that ends a text is no end here.
        """
        length = self._length(prompt, new)
        generator = self._generator(1, length)
        ids, rows = list(prompt), [_logits_after(generator, prompt)]
        while len(ids) < length:
            ids.append(int(rows[-1][-1].argmax()))
            rows.append(_logits_after(generator, ids[-1:]))
        return ids, np.concatenate(rows)

    def generate(
        self, ids: Sequence[int], max_new_tokens: int, sampling: Sampling | None = None
    ) -> Iterator[int]:
        """New ids one by one; ends after an id in eos_ids (which is yielded) or at the limit.

        The limit is also the context length. sampling: None for greedy. Raises UserError when the prompt
        alone fills the context.
        """
        generator = self._generator(1, self._length(ids, max_new_tokens), sampling)
        generator.append_tokens(np.asarray(ids, dtype=np.int32))
        for _ in range(min(max_new_tokens, self.context_length - len(ids))):
            if generator.is_done():
                return
            generator.generate_next_token()
            new = int(generator.get_next_tokens()[0])
            yield new
            if new in self.eos_ids:
                return

    def generate_batch(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[list[int]]:
        """Greedy answers to several prompts; without the prompt, cut before the first id in eos_ids."""
        for prompt in prompts:
            self._length(prompt, max_new_tokens)
        answers: list[list[int]] = [[] for _ in prompts]
        for group in self._groups(prompts, max_new_tokens):
            rows = [prompts[i] for i in group]
            for i, answer in zip(group, self._generate_rows(rows, max_new_tokens), strict=True):
                answers[i] = answer
        return answers

    def _groups(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> Iterator[list[int]]:
        """Indices of prompts that may share a batch, the shortest first.

        In a batch the runtime takes pad ids at the end of a row as padding, so a prompt that itself ends
        with the pad id goes alone.
        """
        group: list[int] = []
        for i in sorted(range(len(prompts)), key=lambda i: len(prompts[i])):
            if group and not self._may_join(prompts, group, i, max_new_tokens):
                yield group
                group = []
            group.append(i)
        if group:
            yield group

    def _may_join(self, prompts: Sequence[Sequence[int]], group: list[int], i: int, new: int) -> bool:
        length = len(prompts[i]) + new
        if (len(group) + 1) * length > _LARGEST_BATCH:
            return False
        if self._pad_id is None:
            return len(prompts[group[0]]) == len(prompts[i])
        ambiguous = any(prompts[j][-1] == self._pad_id for j in (group[0], i))
        return not ambiguous and length <= self.context_length

    def _generate_rows(self, rows: list[Sequence[int]], max_new_tokens: int) -> list[list[int]]:
        width = max(len(row) for row in rows)
        generator = self._generator(len(rows), self._length(range(width), max_new_tokens))
        pad = 0 if self._pad_id is None else self._pad_id
        # Padding goes to the right: the attention kernels count the ids of a row from its start.
        padded = [[*row, *[pad] * (width - len(row))] for row in rows]
        generator.append_tokens(np.asarray(padded, dtype=np.int32))
        answers: list[list[int]] = [[] for _ in rows]
        running = set(range(len(rows)))
        for _ in range(min(max_new_tokens, self.context_length - width)):
            if not running or generator.is_done():
                break
            generator.generate_next_token()
            new = generator.get_next_tokens()
            for i in list(running):
                if int(new[i]) in self.eos_ids:
                    running.discard(i)
                else:
                    answers[i].append(int(new[i]))
        return answers

    def _length(self, ids: Sequence[int], max_new_tokens: int) -> int:
        """Prompt and answer, within the context."""
        if not len(ids):
            raise UserError("The prompt is empty: there is nothing to go on from.")
        if len(ids) >= self.context_length:
            raise UserError(
                f"The prompt has {len(ids)} tokens; the model's context holds {self.context_length}, answer "
                "included.",
                "Shorten the prompt.",
            )
        return min(len(ids) + max_new_tokens, self.context_length)

    def _generator(self, rows: int, length: int, sampling: Sampling | None = None) -> Any:
        if self._model is None:
            raise PassError("The model has been closed.")
        if length > self.context_length:
            raise UserError(f"{length} tokens do not fit into the model's context of {self.context_length}.")
        room = max(length, min(self._window, self.context_length))  # a windowed cache holds a whole window
        parameters = og.GeneratorParams(self._model)
        search = {**_GREEDY, **(_drawn(sampling) if sampling else {})}
        parameters.set_search_options(max_length=room, batch_size=rows, **search)
        return og.Generator(self._model, parameters)


def _logits_after(generator: Any, ids: Sequence[int]) -> NDArray[np.float32]:
    """(len(ids), vocabulary), or the last row alone of a head that was pruned."""
    generator.append_tokens(np.asarray(ids, dtype=np.int32))
    found: NDArray[np.float32] = np.asarray(generator.get_output("logits"), dtype=np.float32)[0]
    return found


def _drawn(sampling: Sampling) -> dict[str, bool | int | float]:
    """Search options of the runtime."""
    return {
        "do_sample": True,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "random_seed": sampling.seed,
    }


def _provider_names(folder: Path) -> list[str]:
    """What genai_config.json wants the decoder to run on, by the runtime's names; empty for the CPU."""
    decoder = read_config(folder)["model"].get("decoder", {})
    options = decoder.get("session_options", {}).get("provider_options") or []
    return [name for entry in options for name in entry]


def _open(folder: Path, device: str) -> Any:
    try:
        config = og.Config(str(folder))
        if device == CPU:
            config.clear_providers()
        elif not _provider_names(folder):
            raise UserError(
                f"The model in {folder} is built for the CPU; it cannot run on the device {device!r}.",
                "Build it for that device: give the workflow a target whose accelerators name it.",
            )
        return og.Model(config)
    except RuntimeError as error:  # what the binding raises for anything that the runtime refuses
        raise PassError(
            f"onnxruntime-genai {og.__version__} cannot open {folder}: {error}",
            f"A model built for another execution provider ({CONFIG} names it) does not run on {device}.",
        ) from error


def _as_list(ids: Any) -> list[int]:
    if ids is None:
        return []
    return [int(i) for i in ids] if isinstance(ids, list) else [int(ids)]
