"""How a run is shown: a line per step in a pipe, bars that fit on a terminal."""

from __future__ import annotations

import io
import os
import re
import threading
from contextlib import suppress
from dataclasses import dataclass, field

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from modelpress.cli.bars import StepView, TerminalProgress
from modelpress.cli.execute import open_progress
from modelpress.cli.verbosity import verbosity_options
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
from modelpress.progress.levels import LEVELS, Verbosity
from modelpress.progress.lines import PlainProgress, StreamLines
from modelpress.progress.state import StepState, step_title

LORA = StepStarted(1, 3, "lora", "LoRA", "local", False)
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
[1/3] LoRA lora: goes on
[1/3] LoRA lora: 42.1 s (resumed), loss 0.12, 3.1 MB
[2/3] MergeAdapterWeights merge: in the cache, 8.6 MB
[3/3] ModelBuilder builder: started
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


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Shown:
    """Plain progress with a clock that the test sets, and what it wrote."""

    verbosity: Verbosity = field(default_factory=Verbosity)
    clock: Clock = field(default_factory=Clock)
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.progress = PlainProgress(
            lambda line, level="info": self.lines.append(line), self.verbosity, self.clock
        )

    def tell(self, *events: Event) -> list[str]:
        """Tell events; the lines that they make."""
        before = len(self.lines)
        for event in events:
            self.progress(event)
        return self.lines[before:]

    def wait(self, seconds: int) -> list[str]:
        """Nothing happens for so long; the lines that this makes."""
        before = len(self.lines)
        for _ in range(seconds):
            self.clock.now += 1
            self.progress.tick()
        return self.lines[before:]


def test_piped_there_are_a_line_when_a_step_begins_and_when_it_ends_and_each_note_once() -> None:
    stream = io.StringIO()
    show = open_progress(stream, Verbosity("note"))
    for event in RUN:
        show(event)
    show.close()
    assert stream.getvalue() == PLAIN


def test_piped_each_tenth_is_told_with_loss_speed_and_the_time_that_is_left() -> None:
    shown = Shown()
    shown.tell(LORA, Progress(0, 200, "steps"))
    for step, loss in ((20, 0.51239), (40, 0.25)):
        shown.clock.now += 9
        shown.tell(Progress(step, 200, "steps"), Report("loss", loss), Report("tokens_per_second", 5012.3))
        shown.wait(1)
    assert shown.lines[1:] == [
        "[1/3] LoRA lora: 20/200 steps, 1:30 left, loss 0.5124, 5012 tok/s",
        "[1/3] LoRA lora: 40/200 steps, 1:20 left, loss 0.25, 5012 tok/s",
    ]


def test_tenths_of_a_quick_step_are_not_told_one_by_one() -> None:
    shown = Shown()
    shown.tell(LORA)
    for done in range(0, 101, 25):
        shown.tell(Progress(done, 100, "steps"))
        assert shown.wait(1) == (["[1/3] LoRA lora: 100/100 steps, 0:05 so far"] if done == 100 else [])


def test_piped_no_silence_of_the_first_minutes_is_longer_than_fifteen_seconds() -> None:
    shown = Shown()
    shown.tell(LORA)
    assert len(shown.wait(15)) == 1
    told = shown.wait(300)
    assert len(told) >= 20
    assert told[-1].startswith("[1/3] LoRA lora: 5:")
    assert told[-1].endswith(" so far")


def test_a_step_of_hours_is_told_of_once_a_minute() -> None:
    shown = Shown()
    shown.tell(LORA, Progress(0, 100_000, "steps"))
    shown.wait(7200)
    assert 55 <= len(shown.wait(3600)) <= 60


def test_what_goes_on_before_between_and_after_the_steps_is_told_too() -> None:
    shown = Shown()
    assert shown.wait(15) == ["Checking the workflow: 0:12 so far"]
    shown.tell(Progress(10_000_000, 2_000_000_000, "bytes"))
    assert shown.wait(15)[0].startswith("Checking the workflow: 10.0 MB of 2.0 GB, ")
    for event, title in (
        (RunStarted("id", "w", 3, "log.txt"), "Reading the input model: "),
        (StepFinished(1, 3, "lora", "LoRA", False, 1.0, 1, ""), "Preparing the next step: "),
        (StepFinished(3, 3, "builder", "ModelBuilder", False, 1.0, 1, ""), "Writing the output: "),
    ):
        shown.tell(event)
        assert shown.wait(15)[0].startswith(title)


def test_verbose_tells_the_numbers_of_each_logging_step_in_one_line() -> None:
    for verbosity, expected in (
        (Verbosity(), []),
        (
            Verbosity(each_report=True),
            [
                "[1/3] LoRA lora: 10/90 steps, loss 0.5, learning_rate 0.002",
                "[1/3] LoRA lora: 20/90 steps, loss 0.4, learning_rate 0.001",
            ],
        ),
    ):
        shown = Shown(verbosity)
        shown.tell(LORA)
        told = shown.tell(
            Progress(10, 90, "steps"), Report("loss", 0.5), Report("learning_rate", 0.002),
            Progress(11, 90, "steps"), Progress(20, 90, "steps"),
            Report("loss", 0.4), Report("learning_rate", 0.001),
        )  # fmt: skip
        assert told + shown.wait(2) == expected


def test_a_number_that_comes_before_any_progress_has_a_line_too() -> None:
    shown = Shown(Verbosity(each_report=True))
    shown.tell(LORA, Report("trainable_parameters", 557056))
    assert shown.wait(1) == ["[1/3] LoRA lora: trainable_parameters 557056"]


def test_numbers_that_a_cached_step_told_before_are_no_logging_steps() -> None:
    shown = Shown(Verbosity(each_report=True))
    assert shown.tell(Report("loss", 0.5), Report("loss", 0.4)) + shown.wait(2) == []


def test_quiet_shows_the_result_and_what_is_wrong_and_nothing_else() -> None:
    shown = Shown(Verbosity("warning", quiet=True))
    shown.tell(*RUN[:-1], Log("warning", "take care"))
    shown.wait(100)
    shown.tell(StepFailed(2, 3, "merge", "MergeAdapterWeights", "why", ""), RUN[-1])
    assert shown.lines == [
        "warning: take care",
        "[2/3] MergeAdapterWeights merge: failed",
        "Done in 1 min 01 s: out",
    ]


def test_a_thread_tells_while_no_event_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelpress.progress.lines._BEAT", 0.01)
    monkeypatch.setattr("modelpress.progress.lines._SILENCE", (0.02, 0.02))
    told = threading.Event()
    show = PlainProgress(lambda line, level="info": told.set(), Verbosity()).keep_telling()
    assert told.wait(30)
    show.close()


def test_a_failed_step_names_the_folder_that_is_kept() -> None:
    told = Shown().tell(StepFailed(2, 3, "merge", "MergeAdapterWeights", "why", "/jobs/ab"))
    assert told == ["[2/3] MergeAdapterWeights merge: failed; its files are kept in /jobs/ab"]


def test_a_name_that_is_the_types_own_is_not_said_twice() -> None:
    told = Shown().tell(StepFinished(4, 4, "accuracy", "accuracy", False, 1.0, 0, "accuracy 0.97"))
    assert told == ["[4/4] accuracy: 1.0 s, accuracy 0.97"]


def test_a_step_elsewhere_says_where() -> None:
    assert Shown().tell(StepStarted(1, 1, "lora", "LoRA", "gpu_box", False)) == [
        "[1/1] LoRA lora: started on gpu_box"
    ]


def test_the_run_goes_on_when_nobody_reads_any_more() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    show = PlainProgress(StreamLines(stream), Verbosity())
    for event in RUN:
        show(event)
    with suppress(BrokenPipeError):
        stream.close()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], Verbosity()),
        (["-v"], Verbosity("info", each_report=True)),
        (["-vv"], Verbosity("debug", each_report=True)),
        (["-vv", "--log-level", "error"], Verbosity("error", each_report=True)),
        (["-q"], Verbosity("warning", quiet=True)),
        (["--quiet", "--log-level", "note"], Verbosity("note", quiet=True)),
    ],
)
def test_options_say_how_much_is_told(arguments: list[str], expected: Verbosity) -> None:
    found: list[Verbosity] = []

    @click.command()
    @verbosity_options
    def command(verbosity: Verbosity) -> None:
        found.append(verbosity)

    assert CliRunner().invoke(command, arguments).exit_code == 0
    assert found == [expected]


def test_quiet_and_verbose_at_once_are_refused(invoke) -> None:
    with pytest.raises(click.UsageError, match="exclude each other"):
        invoke("run", "w.yaml", "-q", "-v")


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
        shown = Shown(Verbosity(level))
        shown.tell(RunStarted("id", "w", 1, "log.txt", severity))
        shown.tell(*(Log(name, f"a {name}") for name in LEVELS))
        assert [line.partition(":")[0] for line in shown.lines] == expected


def test_details_are_shown_on_request_only() -> None:
    for level, expected in (
        ("note", ["warning: take care"]),
        ("info", ["info: a detail", "warning: take care"]),
        ("error", []),
    ):
        told = Shown(Verbosity(level)).tell(Log("info", "a detail"), Log("warning", "take care"))
        assert told == expected


def test_on_a_terminal_each_step_leaves_the_same_line() -> None:
    stream = Terminal()
    show = open_progress(stream, Verbosity("note"))
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
    show = open_progress(stream, Verbosity("note"))
    for event in RUN:
        show(event)
    show.close()
    assert not re.search(r"\x1b\[[0-9;]*3\dm", stream.getvalue())


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    show = open_progress(Terminal(), Verbosity())
    assert isinstance(show, PlainProgress)
    show.close()


@pytest.fixture
def view() -> StepView:
    """A resumed step: 50 of 90 steps done, 10 of them in 20 s here."""
    clock = Clock()
    state = StepState(step_title(LORA), LORA, clock)
    state.advance(Progress(40, 90, "steps"))
    clock.now += 20
    state.advance(Progress(50, 90, "steps"))
    state.numbers.update({"loss": 0.12345, "tokens_per_second": 5012.3, "other": 1})
    return StepView(state)


def test_a_step_shows_how_far_it_is_how_long_it_takes_loss_and_speed(view: StepView) -> None:
    # 40 steps are left at 2 s each: what was done before the interruption does not count.
    assert view.state.facts() == ["50/90 steps", "1:20 left", "loss 0.1235", "5012 tok/s"]


def test_bytes_are_shown_as_such() -> None:
    state = StepState("merge", clock=Clock())
    state.advance(Progress(50_000_000, 100_000_000, "bytes"))
    assert state.facts()[0] == "50.0 MB of 100 MB"


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
    view = StepView(StepState(step_title(started), started, Clock()))
    view.state.advance(Progress(1, 2, "tensors"))
    console = Console(
        file=io.StringIO(), width=40, force_terminal=True, color_system=None, legacy_windows=False
    )
    console.print(view.render(40))
    assert "━" * 5 in console.file.getvalue()
