"""Events of a job that come over a stream: each is told once, in its order, whatever the stream does."""

from __future__ import annotations

from pathlib import Path

from modelpress.engine.heard import Heard
from modelpress.events import Event, EventFile, Log, Report, decode_event


def written(folder: Path, count: int) -> tuple[Path, list[Event]]:
    path = folder / "events.jsonl"
    file = EventFile(path)
    file.job = "job-1"
    for number in range(count):
        file(Report("loss", number))
    file.close()
    events = [decode_event(line) for line in path.read_text().splitlines()]
    return path, [event for event in events if event]


def values(told: list[Event]) -> list[object]:
    return [event.value for event in told if isinstance(event, Report)]


def test_a_stream_that_begins_again_tells_nothing_twice(tmp_path: Path) -> None:
    path, events = written(tmp_path, 5)
    told: list[Event] = []
    heard = Heard("job-1", told.append)
    for event in (*events[:3], *events):
        heard(event)
    heard.finish(path)
    assert values(told) == [0, 1, 2, 3, 4]


def test_a_gap_is_filled_from_the_file_in_the_right_order(tmp_path: Path) -> None:
    path, events = written(tmp_path, 5)
    told: list[Event] = []
    heard = Heard("job-1", told.append)
    for event in (events[0], events[3], events[4]):
        heard(event)
    assert values(told) == [0]
    heard.finish(path)
    assert values(told) == [0, 1, 2, 3, 4]


def test_what_a_damaged_line_hid_holds_up_nothing_else(tmp_path: Path) -> None:
    path, events = written(tmp_path, 4)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:1], '{"kind": "rep\n', *lines[2:]]))
    told: list[Event] = []
    heard = Heard("job-1", told.append)
    heard(events[3])
    heard.finish(path)
    assert values(told) == [0, 2, 3]


def test_what_the_system_itself_says_is_told_as_it_comes() -> None:
    told: list[Event] = []
    heard = Heard("job-1", told.append)
    for _ in range(2):
        heard(Log("info", "queued"))
    assert [event.message for event in told if isinstance(event, Log)] == ["queued", "queued"]


def test_a_second_writer_and_a_second_try_go_on_counting(tmp_path: Path) -> None:
    """A job that was moved to another machine finds the file of the first; the log's watcher writes, too."""
    path, _ = written(tmp_path, 2)
    with path.open("a") as cut:
        cut.write('{"kind": "rep')
    file = EventFile(path)
    file(Log("warning", "it printed too much"))
    file.close()
    last = decode_event(path.read_text().splitlines()[-1])
    assert isinstance(last, Log)
    assert (last.job, last.number) == ("job-1", 3)
    assert last.time > 0
