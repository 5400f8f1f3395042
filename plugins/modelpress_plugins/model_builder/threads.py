"""How many threads torch uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch to one thread for a while.

    Small blocks that stay in a core's cache gain nothing from more, and on a machine that is busy otherwise
    the threads spend their time waiting for each other (17 times slower was seen).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
