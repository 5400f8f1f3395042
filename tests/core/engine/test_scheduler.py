"""The scheduler: what is ready goes to a place that is free, shared work is done once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from modelpress.engine.scheduler import Ended, Scheduler, Slots, Work
from modelpress.errors import PassError
from modelpress.events import Event, Log
from modelpress.system import Tell

PLACES = {"a": Slots(2, "here"), "b": Slots(1, "here"), "far": Slots(3, "far")}


class Busy:
    """Counts what is at work at once, by place."""

    def __init__(self) -> None:
        self.now: list[str] = []
        self.seen: list[tuple[str, ...]] = []
        self.done: list[str] = []
        self._lock = threading.Lock()

    def work(self, key: str, place: str, after: tuple[str, ...] = (), *, alone: bool = False) -> Work[str]:
        def do(tell: Tell) -> str:
            with self._lock:
                self.now.append(key)
                self.seen.append(tuple(self.now))
            time.sleep(0.05)
            tell(Log("info", key))
            with self._lock:
                self.now.remove(key)
                self.done.append(key)
            return key.upper()

        return Work(key, place, do, after, alone)


def run(*works: Work[str], told: Callable[[Event], None] = lambda event: None) -> list[Ended[str]]:
    with Scheduler[str](PLACES.__getitem__, told) as scheduler:
        scheduler.add(*works)
        return list(scheduler.ended())


def test_a_place_has_as_many_at_once_as_it_can_bear() -> None:
    busy = Busy()
    run(*(busy.work(f"a{number}", "a") for number in range(5)), *(busy.work(f"b{n}", "b") for n in range(3)))
    assert max(sum(key.startswith("a") for key in seen) for seen in busy.seen) == 2
    assert max(sum(key.startswith("b") for key in seen) for seen in busy.seen) == 1
    assert max(map(len, busy.seen)) == 3


def test_a_chain_is_done_in_its_order_and_a_shared_part_once() -> None:
    busy = Busy()
    first, left, right = busy.work("x", "far"), busy.work("l", "far", ("x",)), busy.work("r", "far", ("x",))
    ended = run(first, left, first, right)
    assert busy.done[0] == "x"
    assert sorted(busy.done) == ["l", "r", "x"]
    assert sorted(each.value or "" for each in ended) == ["L", "R", "X"]


def test_a_time_is_taken_while_nothing_else_is_at_work_on_the_machine() -> None:
    busy = Busy()
    works = [busy.work(f"a{number}", "a") for number in range(4)]
    run(works[0], busy.work("time", "b", alone=True), *works[1:], busy.work("far", "far"))
    assert all(not any(key.startswith(("a", "b")) for key in seen) for seen in busy.seen if "time" in seen)
    assert busy.done.index("time") <= 2  # what was added later did not get ahead of it for ever


def test_what_comes_after_a_failure_never_begins() -> None:
    busy = Busy()

    def fail(tell: Tell) -> str:
        raise PassError("It cannot be done.")

    failing: Work[str] = Work("f", "a", fail)
    ended = run(failing, busy.work("g", "a", ("f",)), busy.work("h", "a", ("g",)), busy.work("other", "b"))
    by_key = {each.work.key: each for each in ended}
    assert not by_key["h"].began
    assert str(by_key["h"].error) == "It cannot be done."
    assert busy.done == ["other"]


def test_more_may_be_added_when_something_has_ended() -> None:
    busy = Busy()
    with Scheduler[str](PLACES.__getitem__, lambda event: None) as scheduler:
        scheduler.add(busy.work("0", "far"))
        for ended in scheduler.ended():
            number = int(ended.work.key)
            if number < 3:
                scheduler.add(busy.work(str(number + 1), "far", (ended.work.key,)))
        assert scheduler.value("3") == "3"
    assert busy.done == ["0", "1", "2", "3"]


def test_events_reach_the_thread_that_waits() -> None:
    busy, threads = Busy(), set[int]()
    run(*(busy.work(str(n), "far") for n in range(3)), told=lambda event: threads.add(threading.get_ident()))
    assert threads == {threading.get_ident()}


def test_what_is_raised_while_it_waits_stops_what_was_begun() -> None:
    stopped = threading.Event()

    def wait(tell: Tell) -> str:
        tell(Log("info", "begun"))
        assert stopped.wait(20)
        return ""

    def interrupt(event: Event) -> None:
        raise KeyboardInterrupt

    scheduler = Scheduler[str](PLACES.__getitem__, interrupt, stopped.set)
    works: list[Work[str]] = [Work("w", "a", wait), Work("never", "a", wait, ("w",))]
    with scheduler:
        scheduler.add(*works)
        with pytest.raises(KeyboardInterrupt):
            list(scheduler.ended())
    assert stopped.is_set()


def test_for_a_debugger_all_of_it_is_done_in_the_callers_thread() -> None:
    threads = list[int]()

    def do(tell: Tell) -> str:
        threads.append(threading.get_ident())
        return ""

    with Scheduler[str](PLACES.__getitem__, lambda event: None, inline=True) as scheduler:
        scheduler.add(Work("1", "a", do), Work("2", "far", do))
        assert len(list(scheduler.ended())) == 2
    assert set(threads) == {threading.get_ident()}


def test_work_that_comes_after_nothing_known_is_refused() -> None:
    with pytest.raises(ValueError, match="comes after b, which was not added"):
        run(Busy().work("a", "a", ("b",)))
