"""`modelpress plugins`: what is installed, what it brings, and what is broken."""

from __future__ import annotations

from pathlib import Path

import click

from modelpress.cli import plugins_check, plugins_new
from modelpress.cli.lazy import OpenGroup
from modelpress.cli.text import examples, json_option, print_json, print_table
from modelpress.figures import plural
from modelpress.provider import Provider
from modelpress.registry import BLOCK_VARIABLE, ONLY_VARIABLE, Plugin, Registry


@click.group("plugins", cls=OpenGroup, short_help="List plugins, broken ones with the reason.")
def command() -> None:
    """Where passes, systems and the rest come from."""


@command.command("list", epilog=examples("modelpress plugins list"))
@json_option
def list_plugins(as_json: bool) -> None:
    """All plugins; a broken one is told with its error and disturbs no other."""
    registry = Registry.load()
    if as_json:
        print_json(_as_json(registry))
        return
    print_table(
        ("PLUGIN", "FROM", "IMPORT", "BRINGS"),
        [
            (p.name, f"{p.provider.name} {p.provider.version}", f"{p.seconds * 1000:.0f} ms", brings(p))
            for p in registry.plugins
        ],
        right=("IMPORT",),
    )
    for of, name, provider in parts(registry):
        click.echo(f"{provider.name} {provider.version} adds {name} to {of}.")
    for broken in registry.broken:
        label = click.style("broken:", fg="red", bold=True)
        named = f"{broken.name} (from {broken.distribution})" if broken.name else broken.distribution
        click.echo(f"\n{label} {named}: {broken.error}")
    for plugin in registry.slow:
        click.echo(f"\nslow: every command waits {plugin.seconds:.1f} s for the import of {plugin.name}")
    if registry.blocked:
        click.echo(f"\nkept out by {BLOCK_VARIABLE} or {ONLY_VARIABLE}: {', '.join(registry.blocked)}")


command.add_command(plugins_check.command)
command.add_command(plugins_new.command)


@command.command("docs", epilog=examples("modelpress plugins docs docs"))
@click.argument("folder", type=click.Path(path_type=Path))
def write_docs(folder: Path) -> None:
    """Write pages on all plugins, with their options, and on how each kind is written, into FOLDER."""
    # Only here: reading options needs pydantic, and a list must not.
    from modelpress.cli.plugin_pages import write_pages  # noqa: PLC0415

    for path in write_pages(folder, Registry.load()):
        click.echo(path)


def brings(plugin: Plugin) -> str:
    """`2 passes: LoRA, QLoRA; 1 format: hf-adapter`"""
    by_kind: dict[str, list[str]] = {}
    for spec in plugin.specs:
        by_kind.setdefault(spec.kind, []).append(spec.name)
    return "; ".join(f"{plural(len(names), kind)}: {', '.join(names)}" for kind, names in by_kind.items())


def parts(registry: Registry) -> list[tuple[str, str, Provider]]:
    """What other distributions add to passes: (the pass, the name of the part, who brings it)."""
    # Only here: it needs packaging, and what few plugins have is looked for only where they are listed.
    from modelpress.shipping import part_providers  # noqa: PLC0415

    return [(e.spec.name, name, who) for e in registry.passes for name, who in part_providers(e.spec)]


def _as_json(registry: Registry) -> dict[str, object]:
    return {
        "plugins": [
            {
                "name": plugin.name,
                "module": plugin.module,
                "distribution": plugin.provider.name,
                "version": plugin.provider.version,
                "import_seconds": round(plugin.seconds, 4),
                "brings": [{"kind": spec.kind, "name": spec.name} for spec in plugin.specs],
            }
            for plugin in registry.plugins
        ],
        "broken": [
            {"name": broken.name, "distribution": broken.distribution, "error": broken.error}
            for broken in registry.broken
        ],
        "parts": [
            {"pass": of, "name": name, "distribution": provider.name, "version": provider.version}
            for of, name, provider in parts(registry)
        ],
        "blocked": registry.blocked,
    }
