"""`modelpress plugins check`: is a plugin as it has to be?"""

from __future__ import annotations

import click

from modelpress.cli.completion import complete_plugin
from modelpress.cli.text import examples, json_option, print_json
from modelpress.figures import plural


@click.command(
    "check", epilog=examples("modelpress plugins check hello", "modelpress plugins check ./my-plugin")
)
@click.argument("plugin", shell_complete=complete_plugin)
@json_option
def command(plugin: str, as_json: bool) -> None:
    """Check PLUGIN: an installed one by its name, a project's folder, or one .py file.

    Every reference is imported, every signature compared with its contract, the import timed, in a process of
    its own. Ends with exit code 1 when something is wrong.
    """
    # Only here: the list of plugins needs none of it.
    from dataclasses import asdict  # noqa: PLC0415

    from modelpress.plugin_check import check  # noqa: PLC0415

    found = check(plugin)
    faults = [finding for finding in found if finding.verdict == "fault"]
    if as_json:
        print_json([asdict(finding) for finding in found])
    else:
        colors = {"ok": "green", "note": "yellow", "fault": "red"}
        for finding in found:
            verdict = click.style(f"{finding.verdict:<6}", fg=colors[finding.verdict])
            click.echo(f"{verdict} {finding.what}" + (f": {finding.text}" if finding.text else ""))
        click.echo(f"\n{plural(len(faults), 'fault')} found." if faults else "\nAll is as it has to be.")
    if faults:
        raise SystemExit(1)
