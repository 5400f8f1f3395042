"""A plugin's command is a verb of the command line: listed without being imported, loaded when used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest

from modelpress.cli import main
from modelpress.cli.lazy import OpenGroup
from modelpress.cli.root import root
from modelpress.verbs import OWN

if TYPE_CHECKING:
    from conftest import FakeSite

COMMANDS = """
    @hookimpl
    def modelpress_commands():
        return [CommandSpec(name="{name}", summary="Greet somebody.", command="PACKAGE.verb:greet")]
"""
GREET = """
    import click

    @click.command("greet")
    @click.argument("name")
    def greet(name):
        click.echo(f"hello {name}")
"""


def install(site: FakeSite, name: str, verb: str = GREET) -> None:
    site.install("greeter", COMMANDS.format(name=name), files={"verb.py": verb})


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    told = capsys.readouterr()
    return int(end.value.code or 0), told.out, told.err


def test_a_plugins_command_runs_as_a_verb(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    install(site, "greet")
    assert run(capsys, "greet", "Ada") == (0, "hello Ada\n", "")


def test_help_lists_it_without_importing_it(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    install(site, "greet", verb="raise SystemExit('imported')")
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert "greet     Greet somebody." in out


def test_a_noun_of_the_core_takes_a_plugins_verb(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    install(site, "data greet")
    assert run(capsys, "data", "greet", "Ada")[:2] == (0, "hello Ada\n")
    assert "greet" in run(capsys, "data", "--help")[1]
    assert run(capsys, "data", "list")[0] == 0


@pytest.mark.parametrize("name", ["validate", "data list", "cache gc", "nonsense greet"])
def test_a_name_that_no_plugin_can_have_is_told_as_its_fault(
    site: FakeSite, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    install(site, name)
    told = f"command {name}: name has to be a verb, or a noun of the core and a verb, that the core has not"
    assert told in run(capsys, "plugins", "list")[1]
    code, out, _ = run(capsys, "doctor", "--json")
    assert code == 1
    assert told in out
    assert "Greet" not in run(capsys, *name.split()[:-1], "--help")[1]


def test_an_alias_of_a_command_is_a_verb_too(site: FakeSite, capsys: pytest.CaptureFixture[str]) -> None:
    site.install(
        "greeter",
        COMMANDS.format(name="greet").replace("command=", "aliases=('hail',), command="),
        files={"verb.py": GREET},
    )
    assert run(capsys, "hail", "Ada") == (0, "hello Ada\n", "")
    assert "hail" not in run(capsys, "--help")[1]


def test_the_verbs_of_the_core_are_those_that_cannot_be_taken() -> None:
    context = click.Context(root)
    found = {name: command for name in root.own() if (command := root.own_command(context, name))}
    groups = {name: command for name, command in found.items() if isinstance(command, click.Group)}
    assert {name for name, group in groups.items() if not isinstance(group, OpenGroup)} == set()
    own = {"": set(found), **{name: set(group.commands) for name, group in groups.items()}}
    assert {name: set(verbs) for name, verbs in OWN.items()} == own


def test_an_unknown_command_suggests_that_of_a_plugin(
    site: FakeSite, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, "greet")
    code, _, err = run(capsys, "great")
    assert code == 2
    assert "Did you mean 'greet'?" in err


def test_an_unknown_command_names_the_plugin_that_may_bring_it(
    site: FakeSite, capsys: pytest.CaptureFixture[str]
) -> None:
    site.install("greeter", "raise RuntimeError('boom')")
    _, _, err = run(capsys, "greet")
    assert "greeter: RuntimeError: boom" in err
