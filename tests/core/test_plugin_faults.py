"""Faults planted in plugin code that runs in the host process: each is told with the plugin's name and a
fitting exit code, never as a bug of modelpress, and `plugins list` and `doctor` work beside it.

The plugin is a real one: a package and its dist-info, found through its entry point, run by the command line.
"""

from __future__ import annotations

import json
import sys
from textwrap import indent
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Acme

RAISES = {
    "an exception": ("raise KeyError('hidden_size')", "it raised KeyError: 'hidden_size'"),
    "sys.exit": ("sys.exit(0)", "it called sys.exit(0)"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", "it raised KeyboardInterrupt"),
    "recursion": ("return plan(model, config, ctx)", "it raised RecursionError"),
    "endless output": ("while True: print('x' * 1000)", "it printed more than 1,000,000 characters"),
    "an exception that cannot be told": ("raise Odd", "it raised Odd"),
    "a BaseException": ("raise GeneratorExit", "it raised GeneratorExit"),
    "StopIteration": ("next(iter(()))", "it raised StopIteration"),
    "MemoryError": ("raise MemoryError", "it raised MemoryError"),
    "an error of ours without its text": (
        "class Mine(UserError):\n    def __init__(self): pass\nraise Mine",
        "it raised Mine",
    ),
    "an error of ours with exit code 0": (
        "class Mine(UserError):\n    exit_code = 0\nraise Mine('all is well')",
        "it raised Mine: all is well",
    ),
    "None for facts": ("return None", "it returned None, expected a ModelFacts"),
    "a mapping for facts": ("return {}", "it returned dict, expected a ModelFacts"),
    "size as text": ("return ModelFacts('a', size='5 MB')", "'5 MB' for size, expected an int"),
    "size that is no number": ("return ModelFacts('a', size=float('nan'))", "nan for size, expected an int"),
    "a path as text": ("return ModelFacts('a', path='/x')", "'/x' for path, expected a Path or None"),
    "meta that is a list": ("return ModelFacts('a', meta=[1])", "list for meta, expected a Meta"),
    "memory that is no number": ("ctx.needs(memory=float('nan'))\nreturn model", "memory"),
    "memory as text": ("ctx.needs(memory='lots')\nreturn model", "memory"),
    "a problem that is no text": ("ctx.problem(5)\nreturn model", "message"),
    "a note that is no text": ("ctx.note(object())\nreturn model", "message"),
    "less than nothing": ("return ModelFacts('a', size=-5)", "-5 for size, expected a number from 0"),
    "memory below nothing": ("ctx.needs(memory=-5)\nreturn model", "memory has to be a number from 0"),
    "a problem without words": ("ctx.problem('')\nreturn model", "the message is empty"),
    "notes without end": ("for n in range(10**6): ctx.note(str(n))\nreturn model", "more than 1,000 notes"),
    "problems without end": (
        "while True:\n    try: ctx.problem(str(object()) + str(id(object())))\n    except Exception: pass",
        "more than 1,000 notes and problems",
    ),
    "a list of no problems": ("raise WorkflowError([])", "it raised WorkflowError"),
    "many errors at once": (
        "raise ExceptionGroup('many', [KeyError('a')])",
        "it raised ExceptionGroup: many",
    ),
    "an error of the command line": ("raise click.UsageError('hey')", "it raised UsageError: hey"),
    "the end of the command": ("click.get_current_context().exit(0)", "it raised Exit"),
    "a coroutine": ("async def later(): pass\nreturn later()", "it returned coroutine"),
    "a generator": ("yield model", "it returned generator"),
    "text that no terminal takes": ("raise ValueError('\\ud800 bad')", "it raised ValueError"),
    "a pipe that is broken": ("raise BrokenPipeError", "it raised BrokenPipeError"),
}


def body(function: str, code: str) -> str:
    return f"\n{function}:\n{indent(code, '    ')}\n"


@pytest.mark.parametrize("fault", RAISES)
def test_a_fault_in_a_plan_is_told(acme: Acme, fault: str) -> None:
    code, told = RAISES[fault]
    acme.install(body("def plan(model, config, ctx)", code))
    acme.assert_told(acme.run("plan", acme.workflow()), told)


FUNCTIONS = {
    "open of a model": ("def open_model(config, ctx)", "raise OSError('gone')", "OSError: gone"),
    "open of a model gives text": ("def open_model(config, ctx)", "return 'facts'", "returned 'facts'"),
    "open of a model is silent": ("def open_model(config, ctx)", "return None", "None, and told no problem"),
    "open promises another format": (
        "def open_model(config, ctx)",
        "return ModelFacts('nobodys', path=ctx.folder / 'model')",
        "the format 'nobodys', and its spec promises 'acme-model'",
    ),
    "open finds what is not there": (
        "def open_model(config, ctx)",
        "return ModelFacts('acme-model', path=ctx.folder / 'gone', identity='a:1')",
        "expected an absolute one of what is there",
    ),
    "open gives a relative path": (
        "def open_model(config, ctx)",
        "return ModelFacts('acme-model', path=Path('model'), identity='a:1')",
        "expected an absolute one of what is there",
    ),
    "identity of a resource": ("def identity(config)", "return 7", "it returned 7, expected"),
    "identity raises": ("def identity(config)", "raise RuntimeError('slow')", "RuntimeError: slow"),
    "describe of a data container": ("def describe_rows(config, ctx)", "return [1]", "it returned list"),
    "describe gives text": ("def describe_rows(config, ctx)", "return DataFacts(rows='9')", "'9' for rows"),
    "describe counts below nothing": (
        "def describe_rows(config, ctx)",
        "return DataFacts(rows=-1)",
        "-1 for rows, expected a number from 0",
    ),
}


@pytest.mark.parametrize("fault", FUNCTIONS)
def test_a_fault_in_another_function_of_the_plan_is_told(acme: Acme, fault: str) -> None:
    function, code, told = FUNCTIONS[fault]
    acme.install(body(function, code))
    workflow = acme.workflow(
        data_configs=[{"name": "train", "type": "AcmeRows"}],
        passes={"prune": {"type": "Prune", "store": {"type": "acme_store"}}},
    )
    acme.assert_told(acme.run("plan", workflow), told)


@pytest.mark.parametrize("fetched", ["return ctx.folder / 'model'", "return Path('/nowhere')"])
def test_a_model_that_is_not_found_after_it_was_fetched_is_told(acme: Acme, fetched: str) -> None:
    opened = body("def open_model(config, ctx)", "return ModelFacts('acme-model', identity='a:1')")
    acme.install(opened + body("def fetch_model(config, ctx)", fetched))
    acme.assert_told(acme.run("run", acme.workflow()), "what it fetched is not where `open` looks for it")


SYSTEMS = {
    "open raises": ("def open_cloud(config, name)", "raise ConnectionError('no route')", "no route"),
    "open gives no system": ("def open_cloud(config, name)", "return object()", "expected a System"),
    "environment raises": ("Cloud.environment = lambda self, requires", "1 / 0", "ZeroDivisionError"),
    "environment is a list": ("Cloud.environment = lambda self, requires", "requires", "it returned tuple"),
    "environment exits": ("Cloud.environment = lambda self, requires", "sys.exit(9)", "sys.exit(9)"),
    "traits are none": ("Cloud.traits = {}; nothing = lambda", "0", "it returned dict"),
    "prepare raises": ("Cloud.prepare = lambda self, requires, tell", "{}['x']", "KeyError: 'x'"),
    "submit raises": ("Cloud.submit = lambda self, folder", "{}['x']", "KeyError: 'x'"),
    "a handle is no JSON": ("Cloud.submit = lambda self, folder", "{'folder': folder}", "a dict of JSON"),
    "watch raises": ("Cloud.watch = lambda self, handle, tell", "{}['x']", "KeyError: 'x'"),
    "collect raises": ("Cloud.collect = lambda self, *rest", "{}['x']", "KeyError: 'x'"),
    "close raises": ("Cloud.close = lambda self", "1 / 0", "ZeroDivisionError"),
}


@pytest.mark.parametrize("fault", SYSTEMS)
def test_a_fault_in_a_system_is_told_as_that(acme: Acme, fault: str) -> None:
    function, code, told = SYSTEMS[fault]
    acme.install(body(function, code) if function.startswith("def") else f"\n{function}: {code}\n")
    workflow = acme.workflow(systems={"cloud": {"type": "AcmeCloud"}}, host="cloud")
    acme.assert_told(acme.run("run", workflow), told, code=5)


CONFIGS = {
    "a validator": (
        "@field_validator('share')\n@classmethod\ndef look(cls, value): return {}[value]",
        "KeyError",
    ),
    "a serializer": ("@field_serializer('share')\ndef look(self, value): return {}[value]", "KeyError"),
}


@pytest.mark.parametrize("fault", CONFIGS)
def test_a_fault_in_options_is_told(acme: Acme, fault: str) -> None:
    code, told = CONFIGS[fault]
    acme.install("\nclass PruneOptions(PruneOptions):\n" + indent(code, "    "))
    acme.assert_told(acme.run("plan", acme.workflow(passes={"p": {"type": "Prune", "share": 0.25}})), told)


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        ("PruneOptions = dict", "no subclass of modelpress.api.Options"),
        ("PruneOptions = 7", "PruneOptions can not be called"),
        ("del PruneOptions", "has no attribute 'PruneOptions'"),
        ("raise RuntimeError('half')", "RuntimeError: half"),
        ("sys.exit(0)", "sys.exit(0)"),
    ],
)
def test_a_fault_in_the_module_of_options_is_told(acme: Acme, planted: str, told: str) -> None:
    acme.install(f"\n{planted}\n")
    acme.assert_told(acme.run("passes", "show", "Prune"), told)
    acme.assert_told(acme.run("validate", acme.workflow()), told)


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        (body("def greet_body()", "{}['name']") + "greet.callback = greet_body", "KeyError: 'name'"),
        (body("def greet_body()", "sys.exit(0)") + "greet.callback = greet_body", "sys.exit(0)"),
        ("greet = 7", "greet can not be called"),
        ("def greet(): pass", "no click command"),
    ],
)
def test_a_fault_in_a_command_is_told(acme: Acme, planted: str, told: str) -> None:
    acme.install(f"\n{planted}\n")
    acme.assert_told(acme.run("acme"), told)


def test_a_missing_library_of_a_plan_is_told_with_what_to_install(acme: Acme) -> None:
    acme.install(body("def plan(model, config, ctx)", "import no_such_library"))
    code, _, err = acme.run("plan", acme.workflow())
    assert code == 3
    assert "'no_such_library'" in err
    assert 'pip install "acme-press"' in err


def test_what_a_plugin_raises_on_purpose_passes(acme: Acme) -> None:
    acme.install(body("def plan(model, config, ctx)", "raise UserError('too small', 'Take a larger one.')"))
    code, _, err = acme.run("plan", acme.workflow())
    assert (code, err) == (2, "error: too small\nhint: Take a larger one.\n")


def test_a_real_interrupt_is_one(acme: Acme) -> None:
    acme.install(
        body(
            "def plan(model, config, ctx)",
            "import signal\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored\n"
            "try:\n    signal.raise_signal(signal.SIGINT)\nexcept KeyboardInterrupt:\n    raise",
        )
    )
    code, _, err = acme.run("plan", acme.workflow())
    assert (code, "at fault" in err) == (130, False)


def test_what_a_plan_prints_is_not_in_the_json(acme: Acme) -> None:
    acme.install(body("def plan(model, config, ctx)", "print('so chatty')\nreturn model"))
    code, out, err = acme.run("plan", acme.workflow(), "--json")
    assert code == 0
    assert json.loads(out)["steps"]
    assert "so chatty" in err


@pytest.mark.parametrize("code", ["1 / 0", "sys.exit(0)", "raise KeyboardInterrupt"])
def test_an_observer_that_fails_is_told_once_and_harms_nothing(acme: Acme, code: str) -> None:
    acme.install(body("def observe(event)", code))
    exit_code, out, err = acme.run("run", acme.workflow())
    assert exit_code == 0, err
    assert (out + err).count("modelpress_event: ") == 1
    assert "acme-press 2.3" in out + err


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("accepts='acme-model'", "accepts has to be a tuple of names, and is 'acme-model'"),
        ("requires=('torch >> 2',)", "requires has to be a tuple of requirements"),
        ("requires='torch'", "requires has to be a tuple of requirements"),
        ("devices=('tpu',)", "devices has to be a tuple of cpu, gpu, npu"),
        ("devices=()", "devices has to be"),
        ("version='1'", "version has to be a number from 1, and is '1'"),
        ("name='My Pass'", "name has to be a name without blanks, and is 'My Pass'"),
        ("name=''", "name has to be a name without blanks, and is ''"),
        ("summary=None", "summary has to be a line of text, and is None"),
        ("summary='a\\nb'", "summary has to be a line of text"),
        ("run=print", "run has to be 'module:name', and is <built-in function print>"),
        ("run=''", "run has to be 'module:name'"),
        ("plan='acme.plan'", "plan has to be 'module:name', and is 'acme.plan'"),
        ("renames=('old',)", "renames has to be a tuple of Renames"),
        ("produces=''", "produces has to be a format, or 'same', and is ''"),
    ],
)
def test_a_wrong_field_of_a_spec_is_told_when_it_is_registered(acme: Acme, entry: str, told: str) -> None:
    acme.install(
        entry=f"""
        import dataclasses

        @hookimpl
        def modelpress_passes():
            right = PassSpec("Prune", "s", ("a",), "a", run="m:r")
            return [dataclasses.replace(right, {entry})]
    """
    )
    _, out, _ = acme.run("plugins", "list")
    assert told in out
    assert "from acme-press" in out
    assert acme.run("passes", "list")[0] == 0
    assert told in acme.run("doctor")[1]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("entry_points.txt", b"[modelpress]\nacme = \xff\xfe\n"),
        ("entry_points.txt", b"[modelpress\nacme"),
        ("entry_points.txt", b"[modelpress]\nacme\n"),
        ("entry_points.txt", b"[modelpress]\nacme = not a module!\n"),
        ("entry_points.txt", b"[modelpress]\nacme = \n"),
        ("METADATA", b"\xff\xfe\x00"),
        ("METADATA", b""),
        ("direct_url.json", b"{"),
        ("direct_url.json", b"[]"),
        ("RECORD", b"\xff"),
    ],
)
def test_damaged_metadata_harm_nobody(acme: Acme, file: str, content: bytes) -> None:
    acme.install()
    (info,) = acme.site.folder.glob("*.dist-info")
    (info / file).write_bytes(content)
    for arguments in (("passes", "list"), ("plugins", "list"), ("plugins", "list", "--json"), ("--help",)):
        code, out, err = acme.run(*arguments)
        assert code == 0, err
    assert "huggingface" in acme.run("plugins", "list")[1]
    code, out, _ = acme.run("doctor")
    if file == "entry_points.txt" and content.count(b"\n") > 1:
        assert "acme_press-2.3.dist-info" in out


def test_what_a_plugin_prints_at_import_is_not_in_the_json(acme: Acme) -> None:
    acme.install(entry=acme.entry + "import os\nprint('hello')\nos.write(1, b'native hello')\n")
    code, out, _ = acme.run("passes", "list", "--json")
    assert code == 0
    assert json.loads(out)


def test_a_hook_without_end_is_stopped(acme: Acme) -> None:
    acme.install(
        entry="""
        @hookimpl
        def modelpress_passes():
            while True:
                yield PassSpec("Prune", "s", ("a",), "a", run="m:r")
    """
    )
    assert "returns more than 1000 PassSpecs" in acme.run("plugins", "list")[1]


def test_a_slow_import_is_named(acme: Acme) -> None:
    acme.install(entry="\n    import time\n    time.sleep(1.05)\n")
    assert "slow: every command waits 1.1 s for the import of acme" in acme.run("plugins", "list")[1]
    del sys.modules["fake_acme"]
    plugins = json.loads(acme.run("plugins", "list", "--json")[1])["plugins"]
    assert {p["name"]: p["import_seconds"] > 1 for p in plugins}["acme"]


def test_only_named_plugins_are_imported(acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    acme.install(entry="raise SystemExit")
    monkeypatch.setenv("MODELPRESS_ONLY_PLUGINS", "local, huggingface")
    listed = json.loads(acme.run("plugins", "list", "--json")[1])
    assert {p["name"] for p in listed["plugins"]} == {"local", "huggingface"}
    assert "acme" in listed["blocked"]
