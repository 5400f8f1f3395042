"""How an error is told: what, what to do about it, and the exit code. Never a traceback unless asked for."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Sequence

import click

from modelpress.errors import ModelpressError, Problem, WorkflowError
from modelpress.figures import plural, shorten_path
from modelpress.secrets import redact
from modelpress.version import VERSION


def report_failure(error: BaseException) -> int:
    """Tell the error on stderr; return the exit code."""
    if os.environ.get("MODELPRESS_DEBUG") and not isinstance(error, click.ClickException):
        traceback.print_exception(error)
    if isinstance(error, WorkflowError):
        tell_problems(error.problems)
        return error.exit_code
    if isinstance(error, ModelpressError):
        tell("error", error.message)
        tell("hint", error.hint)
        return error.exit_code
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        tell("error", "Interrupted.")
        return 130
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message())  # its message is the help: nothing was done wrong
        return error.exit_code
    if isinstance(error, click.ClickException):
        return _tell_usage(error)
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        text = str(error.object).encode("utf-8", "backslashreplace").decode()
        tell("error", f"{shorten_path(text)} is not UTF-8: modelpress takes no path or text like that.")
        tell("hint", "Give the file or folder another name (`mv`), or save the text as UTF-8.")
        return 2
    if isinstance(error, OSError):
        # Only here: what a machine may refuse matters to nobody who was refused nothing.
        from modelpress.machine import explain  # noqa: PLC0415

        if refused := explain(error):
            return report_failure(refused)
    # Only here: what plugins there are matters to a failure that nothing else explains.
    from modelpress.loading import blame  # noqa: PLC0415

    at_fault = blame(error)
    if at_fault:
        tell("error", at_fault.message)
        tell("hint", at_fault.hint)
        return at_fault.exit_code
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    return _tell_bug(error)


def tell(label: str, message: str) -> None:
    """`label: message` on stderr, the label in colour on a terminal; nothing when there is no message."""
    if message:
        color = {"error": "red", "hint": "cyan"}.get(label, "yellow")
        click.echo(f"{click.style(label + ':', fg=color, bold=True)} {redact(message)}", err=True)


def tell_problems(problems: Sequence[Problem]) -> None:
    """Each problem on lines of its own, `file:line` first so that editors can jump there."""
    if len(problems) != 1:
        tell("error", f"{plural(len(problems), 'problem')} found. Nothing was run, nothing was written.")
    for problem in problems:
        place = f"{shorten_path(str(problem.where))}: " if problem.where else ""
        step = f"{problem.step}: " if problem.step else ""
        text = f"{place}{step}{problem.message}"
        if len(problems) == 1:
            tell("error", text)
            tell("hint", problem.hint)
        else:
            click.echo(f"\n{text}", err=True)
            if problem.hint:
                click.echo(f"    {problem.hint}", err=True)


def _tell_usage(error: click.ClickException) -> int:
    tell("error", error.format_message())
    if isinstance(error, click.UsageError) and error.ctx:
        tell("hint", f"`{error.ctx.command_path} --help` shows how it is used.")
    return error.exit_code


def _tell_bug(error: BaseException) -> int:
    lines = traceback.format_exception(error)
    with tempfile.NamedTemporaryFile(
        "w", prefix="modelpress-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.write(f"modelpress {VERSION}, Python {sys.version}, {sys.platform}\n\n{''.join(lines)}")
    tell("error", f"This is a bug: {lines[-1].strip()}")
    tell("hint", f"Please report it with the traceback, which is in {file.name}")
    return 1
