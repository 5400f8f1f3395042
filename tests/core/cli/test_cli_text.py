"""Tables, ages, and text that a terminal cannot show."""

from __future__ import annotations

import io
import os
import sys

import pytest

from modelpress.cli import text
from modelpress.cli.cache import parse_age
from modelpress.errors import UserError


def test_ages_are_read_in_hours_days_and_weeks() -> None:
    assert [parse_age(age) for age in ("12h", "30d", "8w")] == [0.5, 30, 56]
    with pytest.raises(UserError):
        parse_age("30")


ROWS = [("LoRA", "3.1 MB", "Fine-tune a low-rank adapter on a frozen base."), ("Merge", "12 MB", "Short.")]


def shown(capsys, monkeypatch, columns: int | None) -> list[str]:
    """The table on a terminal of that many columns, or in a pipe."""
    monkeypatch.setattr(text, "on_terminal", lambda: columns is not None)
    size = os.terminal_size((columns or 80, 24))
    monkeypatch.setattr(text.shutil, "get_terminal_size", lambda *_, **__: size)
    text.print_table(("PASS", "SIZE", "WHAT"), ROWS, right=("SIZE",))
    return capsys.readouterr().out.splitlines()


def test_a_piped_table_is_aligned_and_never_cut(capsys, monkeypatch) -> None:
    assert shown(capsys, monkeypatch, None) == [
        "PASS     SIZE  WHAT",
        "LoRA   3.1 MB  Fine-tune a low-rank adapter on a frozen base.",
        "Merge   12 MB  Short.",
    ]


def test_on_a_terminal_the_last_column_is_cut_to_fit(capsys, monkeypatch) -> None:
    lines = shown(capsys, monkeypatch, 45)
    assert all(len(line) <= 45 for line in lines)
    assert lines[1].endswith("…")


def test_on_a_narrow_terminal_each_row_becomes_a_paragraph(capsys, monkeypatch) -> None:
    lines = shown(capsys, monkeypatch, 30)
    assert all(len(line) <= 30 for line in lines)
    assert "LoRA" in lines
    assert "  size: 3.1 MB" in lines


def test_text_that_the_terminal_cannot_show_is_replaced(monkeypatch) -> None:
    from modelpress.cli import main

    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1"))
    with pytest.raises(SystemExit) as ended:
        main(["passes", "show", "LoRA"])
    assert ended.value.code == 0
    assert b"(integer, ? 1, default 64)" in raw.getvalue()
