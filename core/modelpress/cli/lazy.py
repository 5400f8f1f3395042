"""A group of commands that imports a command's module only when that command is used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click


class Lazy(NamedTuple):
    """A command that is known by name: `command` in the module modelpress.cli.<module>.

    summary stands here, so that the list of commands imports none of them.
    """

    module: str
    summary: str


class LazyGroup(click.Group):
    """sections: a heading for --help -> name of a command -> where it is."""

    def __init__(
        self, *args: Any, sections: Mapping[str, Mapping[str, Lazy]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._sections = sections or {}
        self._lazy = {name: lazy for section in self._sections.values() for name, lazy in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return None
        command: click.Command = import_module(f"modelpress.cli.{self._lazy[cmd_name].module}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self._lazy:
            # Only here: nothing but a mistake needs it.
            from modelpress.nearest import did_you_mean  # noqa: PLC0415

            hint = did_you_mean(args[0], self._lazy, what="There are")
            raise click.UsageError(f"There is no command {args[0]!r}. {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, commands in self._sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name, lazy.summary) for name, lazy in commands.items()])
