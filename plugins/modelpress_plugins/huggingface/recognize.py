"""Data in a form that people know, taken for what it is where the options say nothing. Light."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from modelpress_plugins.huggingface.data_config import PreProcess

_CHAT_COLUMNS = {
    "messages": "chats in OpenAI's form ({role, content})",
    "conversations": "chats in ShareGPT's form ({from, value})",
    "conversation": "chats in ShareGPT's form ({from, value})",
}
_FORMS = {
    "text_template",
    "text_cols",
    "text_formatting_func",
    "dataset_type",
    "pair_format",
    "chat_template",
}


@dataclass(frozen=True, slots=True)
class Recognized:
    """pre: the options as they are to be read; what: what the data was taken for, empty where the options say
    it themselves."""

    pre: PreProcess
    what: str = ""


def recognize(pre: PreProcess, columns: Collection[str]) -> Recognized:
    """Complete the options from the columns of the data.

    Options that say how a row is written are never overruled; a column `text` is a text, as ever.
    """
    chats = next((name for name in _CHAT_COLUMNS if name in columns), None)
    if pre.chat_template:
        if chats and "message_col" not in _told(pre) and pre.message_col not in columns:
            return _as(pre, _chat(chats), message_col=chats)
        return Recognized(pre)
    if "text" in columns or _told(pre) & _FORMS:
        return Recognized(pre)
    if chats:
        return _as(pre, _chat(chats), chat_template=True, message_col=chats)
    if {"instruction", "output"} <= set(columns):
        what = "Alpaca's form (instruction, input, output)"
        return _as(pre, what, dataset_type="pair", pair_format="alpaca")
    if {"prompt", "completion"} <= set(columns):
        what = "prompts and completions"
        pair = {"input_col": "prompt", "output_col": "completion"}
        return _as(pre, what, dataset_type="pair", pair_format="custom", **pair)
    return Recognized(pre)


def _told(pre: PreProcess) -> set[str]:
    """The options that are not at their defaults. (Which ones were written cannot be asked: options travel to
    the worker whole.)"""
    return {name for name, field in type(pre).model_fields.items() if getattr(pre, name) != field.default}


def _chat(column: str) -> str:
    return f"{_CHAT_COLUMNS[column]}, in the column {column!r}, written by the model's chat template"


def _as(pre: PreProcess, what: str, **changes: Any) -> Recognized:
    return Recognized(pre.model_copy(update=changes), what)
