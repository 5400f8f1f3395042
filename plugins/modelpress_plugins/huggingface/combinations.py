"""Options of a data config that contradict one another, or ask for what cannot be had. Light."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from modelpress_plugins.huggingface.data_config import HuggingfaceOptions, PreProcess
from modelpress_plugins.huggingface.text import corpus_template

_PRE = "pre_process_data_config"
_CUSTOM = ("input_col", "output_col", "input_template", "output_template")
_FORMS = ("text_template", "text_formatting_func", "chat_template")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong; option is the dotted path of the option to change."""

    option: str
    message: str
    hint: str = ""


def faults(config: HuggingfaceOptions) -> Iterator[Fault]:
    """Everything in the options that does not go together."""
    pre = config.pre_process_data_config
    yield from _form(config)
    yield from _custom_pair(pre)
    yield from _joining(pre)
    yield from _answers(pre)
    if config.load_dataset_config.streaming and pre.strategy_in_use.endswith("-random"):
        yield Fault(
            "load_dataset_config.streaming",
            f"A streamed data set cannot be read in random order ({pre.strategy_in_use}).",
            "Leave streaming out, or use a strategy without -random.",
        )


def _form(config: HuggingfaceOptions) -> Iterator[Fault]:
    """How a row is written down."""
    pre = config.pre_process_data_config
    forms = [name for name in _FORMS if getattr(pre, name)]
    if len(forms) > 1:
        message = f"{forms[0]} and {forms[1]} both say what the text is."
        yield _fault(forms[1], message, "Give one of them.")
    if pre.dataset_type == "pair" and forms and forms[0] != "text_formatting_func":
        message = f"{forms[0]} is for the dataset_type corpus, but it is pair."
        yield _fault(forms[0], message, "Use input_template and output_template.")
    function = pre.text_formatting_func
    if function and ":" not in function and config.user_script is None:
        message = f"text_formatting_func {function!r} names no module."
        yield _fault("text_formatting_func", message, "Write module:function, or give user_script.")
    if pre.text_template is not None and not corpus_template(pre).columns:
        yield _fault("text_template", "The template names no column.", "Write columns in braces: {text}.")


def _custom_pair(pre: PreProcess) -> Iterator[Fault]:
    given = [name for name in _CUSTOM if getattr(pre, name)]
    if pre.dataset_type != "pair" or pre.pair_format != "custom":
        if given:
            hint = "Set dataset_type to pair and pair_format to custom."
            yield _fault(given[0], f"{given[0]} has no effect without pairs of one's own.", hint)
        return
    for side in ("input", "output"):
        if len([name for name in given if name.startswith(side)]) != 1:
            message = f"A custom pair needs either {side}_col or {side}_template."
            yield _fault(f"{side}_col", message)


def _joining(pre: PreProcess) -> Iterator[Fault]:
    strategy = pre.strategy_in_use
    if pre.pad_to_max_len and pre.drop_short_sequences:
        message = "pad_to_max_len and drop_short_sequences exclude each other."
        yield _fault("drop_short_sequences", message, "Set one of them.")
    if pre.stride is not None and strategy != "join-sliding-window":
        yield _fault("stride", f"stride is for join-sliding-window, but the strategy is {strategy}.")
    if pre.stride is not None and pre.stride > pre.max_seq_len:
        yield _fault("stride", f"A stride of {pre.stride} skips tokens: max_seq_len is {pre.max_seq_len}.")
    if pre.joiner is not None and strategy.startswith("line-by-line"):
        yield _fault("joiner", f"joiner is for the join strategies, but the strategy is {strategy}.")


def _answers(pre: PreProcess) -> Iterator[Fault]:
    plain = pre.dataset_type == "corpus" and not pre.chat_template and not pre.text_formatting_func
    if pre.completion_only and plain and corpus_template(pre).cut_at_answer() is None:
        message = "completion_only needs an answer, but nothing comes before the last column of the text."
        hint = "Give a text_template with the answer as its last placeholder."
        yield _fault("completion_only", message, hint)
    if pre.completion_only and pre.dataset_type == "pair" and not pre.ignore_source_in_labels:
        message = "completion_only contradicts ignore_source_in_labels: false."
        yield _fault("completion_only", message, "Leave one of them out.")
    if pre.masks_prompt and pre.strategy_in_use == "join-sliding-window":
        message = (
            "The loss on answers alone does not go with join-sliding-window: windows that overlap would part "
            "answers from their prompts."
        )
        yield _fault("strategy", message, "Use line-by-line, or join, which packs whole rows.")


def _fault(option: str, message: str, hint: str = "") -> Fault:
    return Fault(f"{_PRE}.{option}", message, hint)
