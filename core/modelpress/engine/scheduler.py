"""Runs a graph of work over places: what is ready goes to a place that is free (task scheduler, DAG).

A search adds chains that share their prefixes by key, and adds more when a candidate has ended. A measurement
of time is `alone`: nothing else is at work on its machine meanwhile.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

from modelpress.events import Event
from modelpress.system import Tell

T = TypeVar("T")

_LOOK_SECONDS = 0.5
"""Between two chances for a signal to be handled, where the platform does not interrupt a wait."""
_END_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Slots:
    """What a place can bear. jobs: at once; machine: places of one machine disturb each other's times."""

    jobs: int
    machine: str


@dataclass(frozen=True, slots=True)
class Work(Generic[T]):
    """A node of the graph.

    key:   what it is: work that is added twice is done once
    place: the name of the system that does it
    do:    does it, in a thread of its own; what it tells reaches the caller's thread
    after: keys of what has to have ended well before; its values are there by `Scheduler.value`
    alone: whether nothing else may be at work on the machine
    """

    key: str
    place: str
    do: Callable[[Tell], T]
    after: tuple[str, ...] = ()
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Ended(Generic[T]):
    """What became of a piece of work. error: its own, or that of what it came after; then it never began."""

    work: Work[T]
    value: T | None = None
    error: Exception | None = None
    began: bool = True


@dataclass(frozen=True, slots=True)
class _Message:
    event: Event


class Scheduler(Generic[T]):
    """Use it in a `with` block: at its end, or when anything is raised in it, `stop` is called while work is
    still being done, and what was begun has ended.

    slots:  of a place, by its name
    tell:   is given the events, in the thread that iterates over `ended`
    inline: one piece after another in the caller's thread, for debuggers
    """

    def __init__(
        self,
        slots: Callable[[str], Slots],
        tell: Tell,
        stop: Callable[[], None] = lambda: None,
        *,
        inline: bool = False,
    ) -> None:
        self._slots = slots
        self._tell = tell
        self._stop = stop
        self._inline = inline
        self._waiting: dict[str, Work[T]] = {}
        self._running: dict[str, Work[T]] = {}
        self._ended: dict[str, Ended[T]] = {}
        self._inbox: queue.SimpleQueue[_Message | Ended[T]] = queue.SimpleQueue()

    def add(self, *works: Work[T]) -> None:
        """Have these done, too. Earlier work comes first where places are rare. Raises ValueError for one
        that comes after what was never added."""
        for work in works:
            known = self._waiting.keys() | self._running.keys() | self._ended.keys()
            if missing := [key for key in work.after if key not in known]:
                raise ValueError(f"{work.key} comes after {', '.join(missing)}, which was not added.")
            if work.key not in known:
                self._waiting[work.key] = work

    def tell(self, event: Event) -> None:
        """Tell something from any thread: for work that shares one `tell`."""
        if self._inline:
            self._tell(event)
        else:
            self._inbox.put(_Message(event))

    def value(self, key: str) -> T:
        """What the work with this key gave. Raises its error; KeyError when it has not ended."""
        ended = self._ended[key]
        if ended.error is not None:
            raise ended.error
        return ended.value  # type: ignore[return-value]  # T may be None itself

    def ended(self) -> Iterator[Ended[T]]:
        """Each piece of work as it ends; more may be added meanwhile. Ends when nothing is left."""
        while self._waiting or self._running:
            for lost in self._lost():
                yield self._note(lost)
            self._start()
            if self._running:
                told = self._next()
                if isinstance(told, Ended):
                    yield self._note(told)
                elif told is not None:
                    self._tell(told.event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        self._waiting.clear()
        if self._running:
            self._stop()
        end = time.monotonic() + _END_SECONDS
        while self._running and time.monotonic() < end:
            told = self._next()
            if isinstance(told, Ended):
                self._note(told)

    def _next(self) -> _Message | Ended[T] | None:
        try:
            return self._inbox.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            return None

    def _note(self, ended: Ended[T]) -> Ended[T]:
        self._waiting.pop(ended.work.key, None)
        self._running.pop(ended.work.key, None)
        self._ended[ended.work.key] = ended
        return ended

    def _lost(self) -> list[Ended[T]]:
        """What can never begin, since something before it has failed."""
        found = []
        for work in self._waiting.values():
            before = (self._ended[key] for key in work.after if key in self._ended)
            error = next((ended.error for ended in before if ended.error), None)
            if error is not None:
                found.append(Ended(work, error=error, began=False))
        return found

    def _start(self) -> None:
        reserved: set[str] = set()
        """Machines that an earlier piece of work waits for, to have them for itself."""
        for work in list(self._waiting.values()):
            slots = self._slots(work.place)
            if any(key not in self._ended or self._ended[key].error for key in work.after):
                continue
            if self._is_free(work, slots, reserved):
                del self._waiting[work.key]
                self._running[work.key] = work
                self._begin(work)
            elif work.alone:
                reserved.add(slots.machine)

    def _is_free(self, work: Work[T], slots: Slots, reserved: set[str]) -> bool:
        if self._inline:
            return not self._running
        here = [
            other for other in self._running.values() if self._slots(other.place).machine == slots.machine
        ]
        if slots.machine in reserved or any(other.alone for other in here):
            return False
        if work.alone:
            return not here
        return sum(other.place == work.place for other in here) < slots.jobs

    def _begin(self, work: Work[T]) -> None:
        if self._inline:
            self._do(work, self._tell)
            return
        name = f"{work.place}: {work.key[:12]}"
        threading.Thread(target=self._do, args=(work, self.tell), name=name, daemon=True).start()

    def _do(self, work: Work[T], tell: Tell) -> None:
        try:
            ended = Ended(work, work.do(tell))
        except Exception as error:  # noqa: BLE001 - whoever iterates is told
            ended = Ended(work, error=error)
        except BaseException as error:
            if self._inline:
                self._running.pop(work.key, None)
                raise
            ended = Ended(work, error=RuntimeError(f"It was ended by {type(error).__name__}."))
        self._inbox.put(ended)
