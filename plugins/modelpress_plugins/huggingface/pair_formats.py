"""Layouts of well-known data sets of questions and answers: from a row to (prompt, answer)."""

from __future__ import annotations

from collections.abc import Callable, Mapping


def _alpaca(row: dict[str, object]) -> tuple[str, str]:
    """The prompt with which the data set `tatsu-lab/alpaca` was published; models expect it to the letter."""
    context = row.get("input") or ""
    kind = ", paired with an input that provides further context" if context else ""
    given = f"### Input:\n{context}\n\n" if context else ""
    return (
        f"Below is an instruction that describes a task{kind}. Write a response that appropriately completes "
        f"the request.\n\n### Instruction:\n{row['instruction']}\n\n{given}### Response: ",
        str(row["output"]),
    )


def _chip2(row: dict[str, object]) -> tuple[str, str]:
    asked, mark, answer = str(row["text"]).partition("\n<bot>: ")
    if not mark:
        raise ValueError("no '<bot>: ' in the text")
    return asked.replace("<human>: ", "", 1), answer


def _self_instruct(row: dict[str, object]) -> tuple[str, str]:
    return str(row["prompt"]), str(row["completion"])


def _hh_rlhf(row: dict[str, object]) -> tuple[str, str]:
    return "", str(row["chosen"])


PAIR_FORMATS: Mapping[str, Callable[[dict[str, object]], tuple[str, str]]] = {
    "alpaca": _alpaca,
    "chip2": _chip2,
    "self_instruct": _self_instruct,
    "hh_rlhf": _hh_rlhf,
}
PAIR_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "alpaca": ("instruction", "output"),
    "chip2": ("text",),
    "self_instruct": ("prompt", "completion"),
    "hh_rlhf": ("chosen",),
}
"""The columns that each pair format cannot do without."""
