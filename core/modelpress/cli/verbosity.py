"""The options of a command that say how much it tells: -q, -v and --log-level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps

import click

from modelpress.progress.levels import LEVELS, Verbosity


def verbosity_options(function: Callable[..., None]) -> Callable[..., None]:
    """The options -q, -v and --log-level, as the one argument `verbosity`, a Verbosity."""

    @wraps(function)
    def gathered(*args: object, quiet: bool, verbose: int, log_level: str | None, **kwargs: object) -> None:
        if quiet and verbose:
            raise click.UsageError("--quiet and --verbose exclude each other.")
        asked = "warning" if quiet else (None, "info", "debug")[min(verbose, 2)]
        function(*args, verbosity=Verbosity(log_level or asked, quiet, verbose > 0), **kwargs)

    options = (
        click.option("-q", "--quiet", is_flag=True, help="Show the result and what is wrong, nothing else."),
        click.option("-v", "--verbose", count=True, help="Show more, each logged loss too; -vv shows all."),
        click.option(
            "--log-level",
            type=click.Choice([*LEVELS, "error"]),
            help="Least level of log lines that are shown.  [default: the workflow's, or note]",
        ),
    )
    command: Callable[..., None] = gathered
    for option in reversed(options):
        command = option(command)
    return command


def as_arguments(verbosity: Verbosity) -> Sequence[str]:
    """The options that say the same, for another process."""
    flags = [*(["--quiet"] if verbosity.quiet else []), *(["--verbose"] if verbosity.each_report else [])]
    return [*flags, *(["--log-level", verbosity.level] if verbosity.level else [])]
