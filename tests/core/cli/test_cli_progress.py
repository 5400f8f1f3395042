"""How a run is shown: a line per step in a pipe, bars that fit on a terminal."""

from __future__ import annotations

import io
import os
import re
from contextlib import suppress

import pytest
from rich.console import Console

from modelpress.cli.bars import StepView, TerminalProgress
from modelpress.cli.execute import open_progress
from modelpress.cli.progress import PlainProgress, log_level
from modelpress.events import (
    Event,
    Log,
    Progress,
    Report,
    RunFinished,
    RunStarted,
    StepFailed,
    StepFinished,
    StepStarted,
)

RUN: list[Event] = [
    Log("note", "lora_r is read as r"),
    Log("note", "lora_r is read as r"),
    Log("info", "a detail"),
    StepStarted(1, 3, "lora", "LoRA", "local", True),
    Progress(40, 90, "steps"),
    Report("loss", 0.1234),
    StepFinished(1, 3, "lora", "LoRA", False, 42.12, 3_100_000, "loss 0.12"),
    StepFinished(2, 3, "merge", "MergeAdapterWeights", True, 0.001, 8_600_000, ""),
    StepStarted(3, 3, "builder", "ModelBuilder", "local", False),
    StepFinished(3, 3, "builder", "ModelBuilder", False, 192.0, 4_000_000, ""),
    RunFinished("out", "out/run.json", 61.2),
]
PLAIN = """\
note: lora_r is read as r
[1/3] LoRA lora: 42.1 s (resumed), loss 0.12, 3.1 MB
[2/3] MergeAdapterWeights merge: in the cache, 8.6 MB
[3/3] ModelBuilder builder: 3 min 12 s, 4.0 MB
Done in 1 min 01 s: out
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def test_piped_there_is_one_plain_line_per_step_and_each_note_once() -> None:
    stream = io.StringIO()
    show = open_progress(stream, "note")
    for event in RUN:
        show(event)
    assert stream.getvalue() == PLAIN


def test_a_failed_step_names_the_folder_that_is_kept() -> None:
    stream = io.StringIO()
    PlainProgress(stream)(StepFailed(2, 3, "merge", "MergeAdapterWeights", "why", "/jobs/ab"))
    assert stream.getvalue() == "[2/3] MergeAdapterWeights merge: failed; its files are kept in /jobs/ab\n"


def test_a_name_that_is_the_types_own_is_not_said_twice() -> None:
    stream = io.StringIO()
    PlainProgress(stream)(StepFinished(4, 4, "accuracy", "accuracy", False, 1.0, 0, "accuracy 0.97"))
    assert stream.getvalue() == "[4/4] accuracy: 1.0 s, accuracy 0.97\n"


def test_the_run_goes_on_when_nobody_reads_any_more() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    show = PlainProgress(stream)
    for event in RUN:
        show(event)
    with suppress(BrokenPipeError):
        stream.close()


@pytest.mark.parametrize(
    ("verbose", "name", "level"),
    [(0, None, None), (1, None, "info"), (2, None, "debug"), (2, "error", "error")],
)
def test_verbosity_sets_the_least_level(verbose: int, name: str | None, level: str | None) -> None:
    assert log_level(verbose, name) == level


@pytest.mark.parametrize(
    ("severity", "told"),
    [
        (None, ["note", "warning"]),
        (0, ["debug", "info", "note", "warning"]),
        (1, ["info", "note", "warning"]),
        (2, ["warning"]),
        (3, []),
        (4, []),
    ],
)
def test_the_workflow_says_how_much_is_told_unless_the_command_does(
    severity: int | None, told: list[str]
) -> None:
    for level, expected in ((None, told), ("warning", ["warning"])):
        stream = io.StringIO()
        progress = PlainProgress(stream, level)
        progress(RunStarted("id", "w", 1, "log.txt", severity))
        for name in ("debug", "info", "note", "warning"):
            progress(Log(name, f"a {name}"))
        assert [line.partition(":")[0] for line in stream.getvalue().splitlines()] == expected


def test_details_are_shown_on_request_only() -> None:
    quiet, talkative, silent = io.StringIO(), io.StringIO(), io.StringIO()
    for stream, level in ((quiet, "note"), (talkative, "info"), (silent, "error")):
        PlainProgress(stream, level)(Log("info", "a detail"))
        PlainProgress(stream, level)(Log("warning", "take care"))
    assert quiet.getvalue() == "warning: take care\n"
    assert talkative.getvalue() == "info: a detail\nwarning: take care\n"
    assert silent.getvalue() == ""


def test_on_a_terminal_each_step_leaves_the_same_line() -> None:
    stream = Terminal()
    show = open_progress(stream, "note")
    assert isinstance(show, TerminalProgress)
    for event in RUN:
        show(event)
    show.close()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "✓ [1/3] LoRA lora: 42.1 s (resumed), loss 0.12, 3.1 MB" in shown
    assert shown.count("lora_r is read as r") == 1


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    show = open_progress(stream, "note")
    for event in RUN:
        show(event)
    show.close()
    assert not re.search(r"\x1b\[[0-9;]*3\dm", stream.getvalue())


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(open_progress(Terminal(), "note"), PlainProgress)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def view() -> StepView:
    """A resumed step: 50 of 90 steps done, 10 of them in 20 s here."""
    clock = Clock()
    view = StepView(StepStarted(1, 3, "lora", "LoRA", "local", True), clock)
    view.advance(Progress(40, 90, "steps"))
    clock.now += 20
    view.advance(Progress(50, 90, "steps"))
    view.numbers.update({"loss": 0.12345, "tokens_per_second": 5012.3, "other": 1})
    return view


def test_a_step_shows_how_far_it_is_how_long_it_takes_loss_and_speed(view: StepView) -> None:
    # 40 steps are left at 2 s each: what was done before the interruption does not count.
    assert view.facts() == ["50/90 steps", "1:20 left", "loss 0.1235", "5012 tok/s"]


def test_bytes_are_shown_as_such() -> None:
    view = StepView(StepStarted(1, 3, "merge", "MergeAdapterWeights", "local", False), Clock())
    view.advance(Progress(50_000_000, 100_000_000, "bytes"))
    assert view.facts()[0] == "50.0 MB of 100 MB"


@pytest.mark.parametrize("width", [20, 40, 79, 80, 90, 120, 200])
def test_nothing_is_wider_than_the_terminal(view: StepView, width: int) -> None:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=True, color_system=None, legacy_windows=False
    )
    console.print(view.render(width))
    lines = console.file.getvalue().rstrip("\n").split("\n")
    assert len(lines) == (1 if width >= 90 else 2)
    assert all(len(line) <= width for line in lines)
    assert "50/90 steps" in console.file.getvalue()


def test_a_long_name_leaves_room_for_the_bar() -> None:
    started = StepStarted(2, 3, "merge_adapter_weights", "MergeAdapterWeights", "local", False)
    view = StepView(started, Clock())
    view.advance(Progress(1, 2, "tensors"))
    console = Console(
        file=io.StringIO(), width=40, force_terminal=True, color_system=None, legacy_windows=False
    )
    console.print(view.render(40))
    assert "━" * 5 in console.file.getvalue()
