"""The command line. `main` is the one place where an error becomes text and an exit code."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from modelpress.cli.interrupts import Interrupts

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command that the arguments (sys.argv when None) name, and exit with its code."""
    interrupts = Interrupts()
    if arguments is None:
        interrupts.install()  # first of all: what is imported next takes a moment
    try:
        from modelpress.cli.root import root  # noqa: PLC0415

        _survive_code_pages()
        for argument in sys.argv[1:] if arguments is None else arguments:
            argument.encode()  # raises for a path that is no text, which is told as that
        # NO_COLOR (no-color.org): any value but the empty one.
        color = False if os.environ.get("NO_COLOR") else None
        code = root.main(args=arguments, prog_name="modelpress", standalone_mode=False, color=color)
    # Whatever it is, the user gets an answer. click does not exit here: a SystemExit is a plugin's doing.
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001
        if arguments is None:
            interrupts.end()
        # Not at the top: a command that ends well never needs it.
        from modelpress.cli.failure import report_failure  # noqa: PLC0415

        code = report_failure(error)
    code = code if isinstance(code, int) else 0
    if arguments is None:
        interrupts.end()
    _flush()
    sys.exit(code)


def _survive_code_pages() -> None:
    """No command fails for a character that the terminal's encoding lacks (Windows, LANG=C)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _flush() -> None:
    """Write out what is buffered; a reader that has gone (`| head`) is nothing to complain about."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at its end: give it something that takes the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
