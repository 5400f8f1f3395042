"""LMEvaluator: the tasks of lm-evaluation-harness (EleutherAI), asked of a model of any format that writes.

A transformers model is asked by the harness's own class, every other by `Asked`, which scores as that does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, nullcontext
from typing import Any

import numpy as np
from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM, TemplateLM
from lm_eval.tasks import TaskManager
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from modelpress.api import Artifact, Estimate, PassContext, Sampling, TextModel, UserError, did_you_mean
from modelpress_plugins.metrics.harness_config import HarnessOptions
from modelpress_plugins.metrics.log_probabilities import log_probabilities
from modelpress_plugins.metrics.size import size_of
from modelpress_plugins.metrics.text_model import opened

_SIZE = "size_on_disk"
_Z = 1.959964
_LONGEST_ANSWER = 256
"""Tokens of an answer, where the task says nothing: the harness's own."""


def evaluate(model: Artifact, config: HarnessOptions, ctx: PassContext) -> Mapping[str, float | Estimate]:
    """`TASK_METRIC` -> the number, within 1.96 of its standard errors where the harness tells one."""
    tasks = [task for task in config.tasks if task != _SIZE]
    found: dict[str, float | Estimate] = {_SIZE: float(size_of(model))} if _SIZE in config.tasks else {}
    if not tasks:
        return found
    manager = _manager(tasks, config)
    with opened(model, ctx) as loaded, chdir(config.include_path) if config.include_path else nullcontext():
        results = _results(_asked(loaded, config, ctx), tasks, manager, config)
    return found | dict(numbers(results))


def _manager(tasks: Sequence[object], config: HarnessOptions) -> TaskManager:
    """The harness's own 14,000 tasks are looked through, half a minute, only where one of them is meant."""
    named = [task for task in tasks if isinstance(task, str)]
    own = TaskManager(include_path=config.include_path, include_defaults=False)
    if set(named) <= set(own.all_tasks):
        return own
    manager = TaskManager(include_path=config.include_path)
    known = list(manager.all_tasks)
    for task in named:
        if task not in known:
            raise UserError(
                f"lm-eval has no task {task!r}.", did_you_mean(task, known) or "See `lm-eval ls tasks`."
            )
    return manager


def _results(
    model: LM, tasks: Sequence[object], manager: TaskManager, config: HarnessOptions
) -> Mapping[str, Any]:
    try:
        return simple_evaluate(  # type: ignore[no-any-return]
            model=model,
            tasks=list(tasks),
            task_manager=manager,
            num_fewshot=config.num_fewshot,
            batch_size=config.batch_size,
            limit=config.limit,
            bootstrap_iters=config.bootstrap_iters,
            apply_chat_template=config.apply_chat_template,
            system_instruction=config.system_instruction,
            fewshot_as_multiturn=config.fewshot_as_multiturn,
            confirm_run_unsafe_code=config.confirm_run_unsafe_code,
            log_samples=False,
        )
    except (OSError, ValueError) as error:  # what its data set is not, or not here
        raise UserError(
            f"lm-eval cannot evaluate {', '.join(map(_name, tasks))}: {error}",
            "Its data come from the hub, or from files below include_path.",
        ) from error


def _name(task: object) -> str:
    return str(task.get("task", "a task without a name")) if isinstance(task, Mapping) else str(task)


def numbers(results: Mapping[str, Any]) -> Iterator[tuple[str, float | Estimate]]:
    """Of each task and group each metric: `hellaswag_acc_norm`. Where one metric was counted in several ways
    (`strict-match`, `flexible-extract`), the way is a part of the name."""
    for task, told in results["results"].items():
        kinds = [name.partition(",")[::2] for name in told if "," in name]
        metrics = [metric for metric, _ in kinds if not metric.endswith("_stderr")]
        for metric, way in kinds:
            value = told[f"{metric},{way}"]
            if metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            several = metrics.count(metric) > 1
            error = told.get(f"{metric}_stderr,{way}")
            yield f"{task}_{metric}" + (f"_{way}" if several else ""), _estimate(value, error)


def _estimate(value: float, error: object) -> float | Estimate:
    if not isinstance(error, int | float) or not math.isfinite(error):
        return value
    return Estimate(value, value - _Z * error, value + _Z * error)


def _asked(model: TextModel, config: HarnessOptions, ctx: PassContext) -> LM:
    own: Any = getattr(model, "model", None)
    if hasattr(own, "generate") and hasattr(own, "config"):
        # Only here: it imports torch and transformers, which a runtime of its own does without.
        from lm_eval.models.huggingface import HFLM  # noqa: PLC0415

        unwrapped = own.get_base_model() if hasattr(own, "get_base_model") else own
        return HFLM(
            pretrained=unwrapped,
            tokenizer=model.tokenizer,
            batch_size=config.batch_size,
            max_length=_longest(model, config),
        )
    return Asked(model, _longest(model, config), ctx)


def _longest(model: TextModel, config: HarnessOptions) -> int:
    return min(config.max_length or model.context_length, model.context_length)


class Asked(TemplateLM):  # type: ignore[misc]  # the harness has no types
    """A TextModel, as the harness asks models."""

    def __init__(self, model: TextModel, max_length: int, ctx: PassContext) -> None:
        super().__init__()
        self._model = model
        self._ctx = ctx
        self.tokenizer = model.tokenizer
        self.max_length = max_length
        self.max_gen_toks = _LONGEST_ANSWER
        self._last: tuple[tuple[int, ...], Any] = ((), None)

    @property
    def eot_token_id(self) -> int:
        own = self.tokenizer.eos_token_id
        return int(min(self._model.eos_ids, default=0) if own is None else own)

    @property
    def prefix_token_id(self) -> int:
        begin = self.tokenizer.bos_token_id
        return self.eot_token_id if begin is None else int(begin)

    @property
    def tokenizer_name(self) -> str:
        return str(self.tokenizer.name_or_path).replace("/", "__")

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        return str(
            self.tokenizer.apply_chat_template(
                chat_history,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )
        )

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: object) -> list[int]:
        begin = self.tokenizer.bos_token
        if add_special_tokens is None and begin and string.startswith(begin):
            add_special_tokens = False  # the text, a chat say, has it already
        said = {} if add_special_tokens is None else {"add_special_tokens": add_special_tokens}
        return [int(i) for i in self.tokenizer(string, **said)["input_ids"]]

    def _loglikelihood_tokens(
        self,
        requests: Sequence[tuple[Any, list[int], list[int]]],
        disable_tqdm: bool = False,
        **kwargs: object,
    ) -> list[tuple[float, bool]]:
        found = []
        for done, (_, context, continuation) in enumerate(requests, start=1):
            found.append(self._score(context, continuation))
            self._ctx.progress(done, len(requests), "requests")
        return found

    def _score(self, context: Sequence[int], continuation: Sequence[int]) -> tuple[float, bool]:
        """(sum of the log-probabilities, whether each is the likeliest) of the continuation."""
        ids = tuple([*context, *continuation][-(self.max_length + 1) :][:-1])
        if ids != self._last[0]:  # the choices of one question often differ in their last token alone
            self._last = (ids, np.asarray(self._model.logits(ids)))
        rows = log_probabilities(self._last[1][-len(continuation) :])
        wanted = list(continuation)[-len(rows) :]
        likeliest = rows.argmax(axis=-1).tolist() == wanted
        return float(rows[np.arange(len(wanted)), wanted].sum()), likeliest

    def loglikelihood_rolling(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[float]:
        found = []
        for done, request in enumerate(requests, start=1):
            windows = map(
                make_disjoint_window,
                get_rolling_token_windows(
                    token_list=self.tok_encode(request.args[0]),
                    prefix_token=self.prefix_token_id,
                    max_seq_len=self.max_length,
                    context_len=1,
                ),
            )
            found.append(sum(self._score(context, rest)[0] for context, rest in windows))
            self._ctx.progress(done, len(requests), "texts")
        return found

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        found = []
        for done, request in enumerate(requests, start=1):
            prompt, told = request.args
            found.append(self._answer(prompt, told))
            self._ctx.progress(done, len(requests), "answers")
        return found

    def _answer(self, prompt: str, told: Mapping[str, Any]) -> str:
        until = told.get("until") or []
        stops = [until] if isinstance(until, str) else list(until)
        most = int(told.get("max_gen_toks") or told.get("max_new_tokens") or self.max_gen_toks)
        most = min(most, self.max_length - 1)
        ids = self.tok_encode(prompt)[-(self.max_length - most) :]
        made: list[int] = []
        for token in self._model.generate(ids, most, _sampling(told, self._ctx.seed)):
            if token in self._model.eos_ids:
                break
            made.append(token)
            text = self._text(made)
            if any(stop and stop in text for stop in stops):
                break
        text = self._text(made)
        for stop in filter(None, stops):
            text = text.partition(stop)[0]
        return text

    def _text(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))


def _sampling(told: Mapping[str, Any], seed: int) -> Sampling | None:
    """None for greedy, as most tasks want it."""
    temperature = float(told.get("temperature") or 0)
    if not told.get("do_sample") or temperature <= 0:
        return None
    return Sampling(temperature, float(told.get("top_p") or 1), int(told.get("top_k") or 0), seed)
