"""Ctrl-C while a job is at work elsewhere: whether the job is ended, or left to go on without the run."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import click

Choice = Literal["ask", "cancel", "detach"]

on_interrupt_option = click.option(
    "--on-interrupt",
    type=click.Choice(["ask", "cancel", "detach"]),
    default="ask",
    show_default=True,
    help="At Ctrl-C, jobs on a system that goes on without this process: end them, or leave them there. "
    "Without a terminal to ask in, they are ended.",
)


class Leave:
    """Says so, once for all jobs of a run. before: called before the question, to leave the terminal free."""

    def __init__(self, choice: Choice, before: Callable[[], None]) -> None:
        self._before = before
        self._leave = None if choice == "ask" else choice == "detach"

    def __call__(self) -> bool:
        if self._leave is None:
            self._leave = _is_asked() and self._ask()
        return self._leave

    def _ask(self) -> bool:
        self._before()
        with _interruptible():
            try:
                click.echo("The job can go on without this run. Leave it there? [y/N] ", nl=False, err=True)
                return sys.stdin.readline().strip().lower() in ("y", "yes")
            except (KeyboardInterrupt, OSError, ValueError):
                click.echo(err=True)
                return False


def _is_asked() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let a second Ctrl-C end the question: no answer is an answer, too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
