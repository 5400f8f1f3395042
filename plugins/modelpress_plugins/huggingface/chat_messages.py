"""Messages of a chat as a row of data has them. Light.

OpenAI's `{role, content}` and ShareGPT's `{from, value}` are taken alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from modelpress.api import UserError
from modelpress_plugins.huggingface.text import Row, missing_column

if TYPE_CHECKING:
    from modelpress_plugins.hf.chat import Message

_SHAREGPT_ROLES = {
    **{"human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant"},
    **{"bard": "assistant", "assistant": "assistant", "system": "system", "tool": "tool"},
    **{"observation": "tool", "function_response": "tool", "function_call": "assistant"},
}


def read_messages(row: Row, column: str, place: str) -> list[Message]:
    """The messages in a column of a row, `{role, content, …}` each. Raises UserError, with the row's place,
    where it holds something else."""
    value = row.get(column)
    if isinstance(value, str):
        value = _parsed(value)
    if value is None:
        raise missing_column(row, column, place)
    if not isinstance(value, list) or not value:
        raise UserError(f"{place}: {column!r} should be a list of {{role, content}}.")
    return [_message(item, f"{place}: message {i} of {column!r}") for i, item in enumerate(value, start=1)]


def _parsed(text: str) -> object:
    """Messages that a csv or parquet file holds as JSON text; the text itself where it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _message(item: object, place: str) -> Message:
    if isinstance(item, Mapping):
        # Rows of a typed file share one schema, so a key that only some messages have is None in the others.
        given = {key: part for key, part in item.items() if part is not None}
        if isinstance(given.get("role"), str) and given["role"]:
            return given
        if isinstance(given.get("from"), str) and "value" in given:
            role = _SHAREGPT_ROLES.get(given["from"].lower())
            if role is None:
                known = ", ".join(sorted(_SHAREGPT_ROLES))
                raise UserError(f"{place} is from {given['from']!r}.", f"Known are: {known}.")
            rest = {key: part for key, part in given.items() if key not in ("from", "value")}
            return {"role": role, "content": given["value"], **rest}
    raise UserError(f"{place} should be {{role, content}} (or {{from, value}}).")
