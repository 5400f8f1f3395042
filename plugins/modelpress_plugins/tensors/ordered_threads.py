"""Do one thing to many strips of a tensor, in threads, and take the results in order.

torch would share each single operation among its threads and wait for all of them after each. On strips
that are small enough for a core's cache, and on a machine that has other work, the waiting costs more than
the arithmetic: here each thread has a strip of its own, and the caller writes one while the next are
computed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import Self, TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class StripThreads:
    """As many threads as torch would use, each with one thread of torch's own."""

    def __init__(self) -> None:
        self._count = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self._count, initializer=torch.set_num_threads, initargs=(1,))

    def map(self, function: Callable[[T], R], strips: Iterable[T]) -> Iterator[R]:
        """Results in the order of the strips, a few of them ahead of the caller. A lone strip stays in the
        caller's thread, where torch uses all of its own."""
        remaining = iter(strips)
        first = list(islice(remaining, 2))
        if len(first) == 1:
            yield function(first[0])
            return
        waiting: deque[Future[R]] = deque()
        try:
            for strip in chain(first, remaining):
                waiting.append(self._pool.submit(function, strip))
                if len(waiting) > 2 * self._count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
        torch.set_num_threads(self._count)  # the threads' own limit has become that of the process
