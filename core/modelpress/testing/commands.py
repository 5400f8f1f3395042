"""The tests that every command has to stand.

class TestAcmeLook(CommandContract):
    command_name = "acme-look"

    def make_arguments(self, folder):
        ...  # what it works on
        return [str(folder)]
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import click
import pytest
from click.testing import CliRunner

from modelpress.cli.root import root
from modelpress.registry import Registered, Registry
from modelpress.specs import CommandSpec
from modelpress.testing.contract import Contract


class CommandContract(Contract[CommandSpec]):
    """Subclass it in a test module and say what to call; pytest does the rest."""

    command_name: ClassVar[str] = ""
    bad_arguments: ClassVar[Sequence[str]] = ("--no-such-option",)
    """Arguments that must be refused as a mistake of the user's."""

    def make_arguments(self, folder: Path) -> Sequence[str] | None:
        """Arguments of a call that ends well, on what is made in the folder (which does not exist yet).
        None when it cannot be called in a test."""
        return None

    def find(self, registry: Registry) -> Registered[CommandSpec]:
        return registry.find(CommandSpec, self.command_name)

    @pytest.fixture
    def command(self, registered: Registered[CommandSpec]) -> click.Command:
        found = registered.resolve(registered.spec.command)
        assert isinstance(found, click.Command)
        return found

    def test_it_is_a_word_or_a_noun_and_a_verb(self, registered: Registered[CommandSpec]) -> None:
        assert 1 <= len(registered.spec.name.split()) <= 2
        assert registered.spec.name == registered.spec.name.lower()

    def test_users_reach_it_by_its_name(self, registered: Registered[CommandSpec]) -> None:
        done = CliRunner().invoke(root, [*registered.spec.name.split(), "--help"])
        assert done.exit_code == 0, done.output
        assert "Usage:" in done.output

    def test_its_help_says_what_it_does(self, command: click.Command) -> None:
        assert command.help, "give the function a docstring"
        silent = [
            option.name
            for option in command.params
            if isinstance(option, click.Option) and not option.help and option.name != "help"
        ]
        assert silent == [], "give these options a help text"

    def test_a_mistake_is_refused(self, command: click.Command) -> None:
        done = CliRunner().invoke(command, list(self.bad_arguments))
        assert done.exit_code == 2, done.output

    def test_it_does_its_work(self, command: click.Command, tmp_path: Path, libraries: None) -> None:
        arguments = self.make_arguments(tmp_path / "work")
        if arguments is None:
            pytest.skip("make_arguments gives no call")
        done = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        assert done.stdout.strip(), "it says nothing"

    def test_its_json_is_json(self, command: click.Command, tmp_path: Path, libraries: None) -> None:
        arguments = self.make_arguments(tmp_path / "work")
        if arguments is None or not any("--json" in option.opts for option in command.params):
            pytest.skip("it writes no JSON")
        done = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
        json.loads(done.stdout)
