"""`modelpress doctor`: a check-up of this installation and this machine."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict

import click

from modelpress.cli.text import examples, json_option, on_terminal, print_json
from modelpress.doctor import examine
from modelpress.figures import plural
from modelpress.findings import Finding
from modelpress.registry import Registry

_COLORS = {"ok": "green", "note": "cyan", "warning": "yellow", "broken": "red"}


@click.command("doctor", epilog=examples("modelpress doctor", "modelpress doctor --json"))
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Check this installation and this machine. Nothing is changed, the network is not used.

    Ends with 1 when something is broken, and only then.
    """
    findings = examine(Registry.load())
    broken = sum(finding.verdict == "broken" for finding in findings)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        _print(findings)
        click.echo(f"\n{plural(broken, 'thing')} broken." if broken else "\nNothing is broken.")
    if broken:
        ctx.exit(1)


def _print(findings: Sequence[Finding]) -> None:
    room = shutil.get_terminal_size().columns if on_terminal() else 10_000
    areas = min(max(len(finding.area) for finding in findings), 22)
    for finding in findings:
        verdict = click.style(f"{finding.verdict:<7}", fg=_COLORS[finding.verdict])
        indent = " " * (9 + areas + 2)
        if room < len(indent) + 30:
            indent = "    "
            click.echo(f"{verdict}  {finding.area}")
            click.echo(click.wrap_text(finding.text, room, indent, indent))
        else:
            text = click.wrap_text(finding.text, room, indent, indent).lstrip()
            click.echo(f"{verdict}  {finding.area:<{areas}}  {text}")
        if finding.hint:
            click.echo(click.wrap_text(f"→ {finding.hint}", room, indent, f"{indent}  "))
