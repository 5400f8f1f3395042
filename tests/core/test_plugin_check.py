"""`plugins check` finds what is wrong with a plugin, whatever the plugin does."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelpress import plugin_check
from modelpress.errors import UserError
from modelpress.plugin_check import check

GOOD = """
from modelpress.api import Options, PassSpec, hookimpl
MODELPRESS_API = 1

@hookimpl
def modelpress_passes():
    return [PassSpec(name="Blur", summary="Blur the weights.", accepts=("hf-model",), produces="hf-model",
                     run="NAME:run", plan="NAME:plan")]

def run(model, options, ctx):
    return ctx.artifact("hf-model")

def plan(model, options, ctx):
    return model
"""
FAULTS = {
    "no such function": ("run=\"NAME:run\"", "run=\"NAME:walk\"", "walk"),
    "no such module": ("run=\"NAME:run\"", "run=\"NAME_elsewhere:run\"", "NAME_elsewhere"),
    "too few arguments": ("def run(model, options, ctx)", "def run(model)", "is called with"),
    "too many arguments": ("def plan(model, options, ctx)", "def plan(model, options, ctx, more)", "more"),
    "no function": ("def plan(model, options, ctx):\n    return model", "plan = 3", "pass Blur: plan"),
    "async": ("def run", "async def run", "async"),
    "heavy import": ("from modelpress", "import numpy\nfrom modelpress", "numpy"),
    "slow import": (
        "MODELPRESS_API = 1", "import time; time.sleep(1.2)\nMODELPRESS_API = 1", "every command waits",
    ),
    "no options": ("plan=\"NAME:plan\"", "config=\"NAME:run\"", "no subclass of"),
    "silent option": (
        "plan=\"NAME:plan\")]", "config=\"NAME:Mine\")]\nclass Mine(Options):\n    strength: int = 1\n",
        "strength",
    ),
    "exit": ("MODELPRESS_API = 1", "raise SystemExit(0)", "exit"),
    "no version": ("MODELPRESS_API = 1", "", "MODELPRESS_API"),
    "odd requirement": ("plan=\"NAME:plan\"", "requires=('torch >> 2',)", "torch >> 2"),
    "error": ("MODELPRESS_API = 1", "1 / 0", "ZeroDivisionError"),
}  # fmt: skip


def write(folder: Path, code: str) -> Path:
    """A plugin of one file."""
    path = folder / "blur_plugin.py"
    path.write_text(code.replace("NAME", path.stem), encoding="utf-8")
    return path


def test_a_good_plugin_has_nothing_wrong(tmp_path: Path) -> None:
    found = check(str(write(tmp_path, GOOD)))
    assert {finding.verdict for finding in found} == {"ok"}
    assert {"pass Blur: run", "pass Blur: plan"} <= {finding.what for finding in found}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, tmp_path: Path) -> None:
    before, after, words = FAULTS[fault]
    assert before in GOOD
    found = check(str(write(tmp_path, GOOD.replace(before, after, 1))))
    told = [f"{finding.what}: {finding.text}" for finding in found if finding.verdict == "fault"]
    assert any(words.replace("NAME", "blur_plugin") in line for line in told), found


def test_a_plugin_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_check, "TIME_LIMIT", 2.0)
    (finding,) = check(str(write(tmp_path, "import time\ntime.sleep(60)")))
    assert "did not end within 2 seconds" in finding.text


def test_a_library_that_is_not_here_is_no_fault_of_the_plugin(tmp_path: Path) -> None:
    code = GOOD.replace('plan="NAME:plan"', "requires=('a-library-that-nobody-has>=2',)")
    found = check(str(write(tmp_path, code)))
    assert [finding.verdict for finding in found if "requires" in finding.what] == ["note"]
    assert not [finding for finding in found if finding.verdict == "fault"]


def test_a_built_in_plugin_is_checked_by_its_name() -> None:
    assert not [finding for finding in check("metrics") if finding.verdict == "fault"]


def test_an_unknown_plugin_suggests_the_nearest_name() -> None:
    with pytest.raises(UserError) as caught:
        check("metric")
    assert "'metrics'" in caught.value.hint


def test_a_folder_without_an_entry_point_says_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    with pytest.raises(UserError) as caught:
        check(str(tmp_path))
    assert "project.entry-points.modelpress" in caught.value.hint


def test_the_command_ends_with_1_when_something_is_wrong(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from modelpress.cli.plugins import command

    bad = write(tmp_path, GOOD.replace("def run(model, options, ctx)", "def run(model)"))
    done = CliRunner().invoke(command, ["check", str(bad)])
    assert done.exit_code == 1
    assert "1 fault found." in done.output
