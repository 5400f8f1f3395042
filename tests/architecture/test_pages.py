"""What the pages say to type exists: each command and each of its options. (The README's are run, too.)"""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from pathlib import Path

import click
import pytest

from modelpress.cli.root import root

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)


def commands() -> list[tuple[str, str]]:
    """(page, command) of each `modelpress …` in code; those with an ellipsis are no whole commands."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        lines = [
            line.partition("#")[0].strip() for block in BLOCK.findall(text) for line in block.splitlines()
        ]
        spans = re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
        named = [code for code in (*lines, *spans) if code.startswith("modelpress ") and "…" not in code]
        found += [(page.name, code) for code in named]
    return list(dict.fromkeys(found))


def parsed(words: list[str]) -> click.Context:
    """The context of the innermost command that the words name. Raises UsageError for what does not exist."""
    context = root.make_context("modelpress", list(words), help_option_names=["-h", "--help"])
    while isinstance(context.command, click.Group) and (rest := [*context._protected_args, *context.args]):
        name, command, more = context.command.resolve_command(context, rest)
        assert command is not None
        context = command.make_context(name, more, parent=context)
    return context


def test_the_pages_name_commands() -> None:
    assert len(commands()) > 30


@pytest.mark.parametrize(("page", "command"), commands())
def test_a_command_of_a_page_exists_with_its_options(page: str, command: str) -> None:
    words = [word.strip("[]") for word in shlex.split(command)[1:]]
    # In a sentence a command may be named without its arguments.
    with suppress(click.MissingParameter, click.exceptions.NoArgsIsHelpError):
        parsed(words)
