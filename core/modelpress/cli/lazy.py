"""Groups of commands that import a command's module only when that command is used: the core's own by module,
those of plugins by the reference in their CommandSpec."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click

from modelpress.fence import fault
from modelpress.registry import Registered, Registry
from modelpress.specs import CommandSpec


class Lazy(NamedTuple):
    """A command that is known by name: `command` in the module modelpress.cli.<module>, or what `group` there
    makes of its name where `made` is true.

    summary stands here, so that the list of commands imports none of them.
    """

    module: str
    summary: str
    made: bool = False


class OpenGroup(click.Group):
    """A group that plugins add commands to: a CommandSpec named `data preview` adds `preview` to `data`."""

    def prefix(self) -> str:
        """The words before a command's own in the name of its spec."""
        return self.name or ""

    def own(self) -> list[str]:
        """Names of the core's commands. None of them can be replaced."""
        return list(self.commands)

    def own_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return super().get_command(ctx, name)

    def added(self, ctx: click.Context) -> dict[str, Registered[CommandSpec]]:
        """What plugins add, by the last word of the name; one that the core has does not load."""
        found: dict[str, Registered[CommandSpec]] = {}
        for entry in _registry(ctx).all(CommandSpec):
            group, _, verb = entry.spec.name.rpartition(" ")
            if group == self.prefix():
                found[verb] = entry
        return found

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.own(), *self.added(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.own():
            return self.own_command(ctx, cmd_name)
        entry = _registry(ctx).get(CommandSpec, f"{self.prefix()} {cmd_name}".strip())
        if entry is None:
            return None
        command = entry.resolve(entry.spec.command)
        if not isinstance(command, click.Command):
            raise fault(
                entry.origin, entry.spec.command, f"it is a {type(command).__name__}, no click command"
            )
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        full = f"{self.prefix()} {name}".strip()
        known = name.startswith("-") or name in self.own() or _registry(ctx).get(CommandSpec, full)
        if name and not known:
            # Only here: nothing but a mistake needs it.
            from modelpress.nearest import did_you_mean  # noqa: PLC0415

            hint = did_you_mean(name, self.list_commands(ctx), what="There are")
            absent = _registry(ctx).hint_absent()
            raise click.UsageError(f"There is no command {name!r}. {hint} {absent}".strip(), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        room = formatter.width - 6 - max(map(len, self.list_commands(ctx)), default=0)
        commands = {name: self.own_command(ctx, name) for name in self.own()}
        shown = {name: command.get_short_help_str(room) for name, command in commands.items() if command}
        shown.update({name: entry.spec.summary for name, entry in self.added(ctx).items()})
        with formatter.section("Commands"):
            formatter.write_dl(sorted(shown.items()))


def _registry(ctx: click.Context) -> Registry:
    registry: Registry = ctx.meta.setdefault("modelpress.registry", None) or Registry.load()
    ctx.meta["modelpress.registry"] = registry
    return registry


class LazyGroup(OpenGroup):
    """sections: a heading for --help -> name of a command -> where it is."""

    def __init__(
        self, *args: Any, sections: Mapping[str, Mapping[str, Lazy]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._sections = sections or {}
        self._lazy = {name: lazy for section in self._sections.values() for name, lazy in section.items()}

    def prefix(self) -> str:
        return ""

    def own(self) -> list[str]:
        return list(self._lazy)

    def own_command(self, ctx: click.Context, name: str) -> click.Command | None:
        lazy = self._lazy[name]
        module = import_module(f"modelpress.cli.{lazy.module}")
        command: click.Command = module.group(name) if lazy.made else module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        shown = {
            heading: {name: lazy.summary for name, lazy in commands.items()}
            for heading, commands in self._sections.items()
        }
        for name, entry in self.added(ctx).items():
            shown.setdefault(entry.spec.section, {})[name] = entry.spec.summary
        for heading, commands in shown.items():
            with formatter.section(heading):
                formatter.write_dl(list(commands.items()))
