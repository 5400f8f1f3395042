"""Faults planted in plugin code that runs in the worker: each is told with the plugin's name, version and
function, by one error with a fitting exit code. The plugin is a real one, the worker a process of its own.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from modelpress import worker_output

if TYPE_CHECKING:
    from conftest import Acme, FakeSite

RUN = "def run(model, config, ctx)"
PASSES = {
    "an exception": ("raise KeyError('hidden_size')", "it raised KeyError: 'hidden_size' (code.py, line"),
    "sys.exit": ("sys.exit(0)", "it called sys.exit(0)"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", "it raised KeyboardInterrupt"),
    "recursion": ("return run(model, config, ctx)", "it raised RecursionError"),
    "a BaseException": ("raise GeneratorExit", "it raised GeneratorExit"),
    "an exception that cannot be told": ("raise Odd", "it raised Odd"),
    "an error of ours without its text": (
        "class Mine(UserError):\n    def __init__(self): pass\nraise Mine",
        "it raised Mine",
    ),
    "nothing": ("return None", "it returned None, expected an Artifact"),
    "a path": ("return ctx.out", "expected an Artifact"),
    "a path as text": ("return Artifact('out', 'acme-model', '')", "'out' for path, expected a Path"),
    "meta that is a list": ("return ctx.artifact('acme-model', meta=[1])", "list for meta, expected a Meta"),
    "another format": ("return ctx.artifact('onnx')", "it promises 'acme-model' but returned 'onnx'"),
    "another folder": ("return Artifact(model.path, 'acme-model', '')", "expected ctx.out"),
    "progress that is no number": ("ctx.progress('1', 2, 'steps')", "cannot be interpreted as an integer"),
    "a unit that is no text": ("ctx.progress(1, 2, 3)", "unit has to be str, and is 3"),
    "a report without a name": ("ctx.report(None, 1)", "name has to be str, and is None"),
    "a note that is no text": ("ctx.note(object())", "message has to be str"),
}


@pytest.mark.parametrize("fault", PASSES)
def test_a_fault_in_a_pass_is_told(acme: Acme, fault: str) -> None:
    code, told = PASSES[fault]
    acme.plant(RUN, code)
    result = acme.run("run", acme.workflow())
    acme.assert_told(result, told)
    assert "fake_acme.code:run" in result[2]
    assert "The folder of the step is kept" in result[2]


OTHERS = {
    "check raises": (
        "def check(folder)",
        "if folder.name == 'out': 1 / 0",
        "ZeroDivisionError",
        "code:check",
    ),
    "check finds it broken": (
        "def check(folder)",
        "if folder.name == 'out': raise UserError('no weights.')",
        "it left a broken acme-model: no weights",
        "code:run",
    ),
    "check gives an answer": (
        "def check(folder)",
        "return folder.name == 'out' or None",
        "True",
        "code:check",
    ),
    "load raises": ("def load(artifact, device)", "raise OSError('cut')", "OSError: cut", "code:load"),
    "load gives nothing": ("def load(artifact, device)", "return None", "a LoadedModel", "code:load"),
    "closing raises": (
        "def load(artifact, device)",
        "Loaded.close = lambda self: {}['x']\nreturn Loaded()",
        "KeyError: 'x'",
        "code:load",
    ),
    "open of data raises": (
        "def open_rows(config, folder)",
        "raise EOFError('cut')",
        "EOFError",
        "code:open_rows",
    ),
    "open of data exits": ("def open_rows(config, folder)", "sys.exit(3)", "sys.exit(3)", "code:open_rows"),
    "open gives no data": (
        "def open_rows(config, folder)",
        "return [1]",
        "it returned list, expected a DataSource",
        "code:open_rows",
    ),
}


@pytest.mark.parametrize("fault", OTHERS)
def test_a_fault_in_what_a_pass_needs_is_told_as_that(acme: Acme, fault: str) -> None:
    function, code, told, named = OTHERS[fault]
    acme.plant(function, code)
    workflow = acme.workflow(
        data_configs=[{"name": "train", "type": "AcmeRows"}],
        passes={"prune": {"type": "Prune", "rows": "train"}},
    )
    result = acme.run("run", workflow)
    acme.assert_told(result, told)
    assert named in result[2]


METRICS = {
    "raises": ("raise ValueError('no words')", "it raised ValueError: no words"),
    "gives nothing": ("return None", "it returned None, expected a mapping"),
    "gives an empty mapping": ("return {}", "it returned no number, expected some of words"),
    "gives text": ("return {'words': '2'}", "'2' for 'words', expected a float"),
    "gives NaN": ("return {'words': float('nan')}", "nan for 'words', expected a finite number"),
    "gives infinity": ("return {'words': float('inf')}", "inf for 'words', expected a finite number"),
    "gives a name of its own": (
        "return {'words': 2, 'letters': 7}",
        "it returned 'letters', expected some of",
    ),
    "has a number for a name": ("return {1: 2.0}", "expected str"),
}


@pytest.mark.parametrize("fault", METRICS)
def test_a_fault_in_a_metric_is_told(acme: Acme, fault: str) -> None:
    code, told = METRICS[fault]
    acme.plant("def count(model, config, ctx)", code)
    result = acme.run("run", measured(acme))
    acme.assert_told(result, told)
    assert "The metric acme_count is at fault: fake_acme.code:count" in result[2]


def measured(acme: Acme) -> str:
    metric = {"name": "words", "type": "acme_count"}
    return acme.workflow(evaluators={"it": {"metrics": [metric]}}, evaluator="it")


def test_a_metric_that_keeps_its_contract_is_believed(acme: Acme) -> None:
    acme.install()
    code, out, err = acme.run("run", measured(acme))
    assert code == 0, err
    assert "words 2" in out + err


@pytest.mark.parametrize(
    "code", ["return {}['text']", "raise KeyboardInterrupt", "yield 1 / 0", "return iter(None)"]
)
def test_data_that_fail_in_another_plugins_pass_are_at_fault_themselves(
    acme: Acme, site: FakeSite, code: str
) -> None:
    acme.install(f"\ndef fail(self):\n    {code}\nRows.records = fail\n")
    site.install(
        "borer",
        """
        @hookimpl
        def modelpress_passes():
            return [PassSpec("Bore", "s", ("acme-model",), "acme-model", run="PACKAGE.code:run",
                             config="PACKAGE.code:BoreOptions")]
        """,
        package="fake_borer",
        files={
            "code.py": """
            from typing import Annotated
            from modelpress.api import DataRole, Options

            class BoreOptions(Options):
                rows: Annotated[str, DataRole("rows")]

            def run(model, config, ctx):
                list(ctx.data("rows").records())
            """
        },
    )
    workflow = acme.workflow(
        data_configs=[{"name": "train", "type": "AcmeRows"}], passes={"b": {"type": "Bore", "rows": "train"}}
    )
    result = acme.run("run", workflow)
    acme.assert_told(result, "The data container AcmeRows is at fault: fake_acme.code:open_rows")
    assert "fake-borer" not in result[2]


@pytest.mark.parametrize(
    ("planted", "told", "code"),
    [
        (
            "raise UserError('too small', 'Take a larger one.')",
            "error: too small\nhint: Take a larger one.",
            2,
        ),
        ("raise PassError('it does not converge')", "error: it does not converge", 4),
        ("class Mine(UserError): pass\nraise Mine('mine')", "error: mine", 2),
        (
            "import no_such_library",
            "The pass Prune of acme-press needs the Python package 'no_such_library'",
            3,
        ),
        ("raise MemoryError", "error: It ran out of memory.", 4),
        ("import errno\nraise OSError(errno.ENOSPC, 'No space left on device')", "The disk is full", 2),
    ],
)
def test_what_is_no_fault_of_the_plugin_is_told_as_what_it_is(
    acme: Acme, planted: str, told: str, code: int
) -> None:
    acme.plant(RUN, planted)
    exit_code, _, err = acme.run("run", acme.workflow())
    assert (exit_code, "at fault" in err) == (code, False), err
    assert told in err


@pytest.mark.parametrize("code", ["os._exit(0)", "os.abort()", "import ctypes; ctypes.string_at(0)"])
def test_a_worker_that_ends_in_mid_work_names_what_it_was_at(acme: Acme, code: str) -> None:
    acme.plant(RUN, code)
    acme.assert_told(acme.run("run", acme.workflow()), "It was at work on the pass Prune of the plugin acme")


def test_a_plugin_without_options_runs_in_the_worker(acme: Acme) -> None:
    bare = re.sub(r',\s*config="PACKAGE.code:PruneOptions"', "", acme.entry)
    assert "config" not in bare
    acme.install("def run(model, config, ctx): return ctx.artifact('acme-model')", entry=bare)
    code, out, err = acme.run("run", measured(acme))
    assert code == 0, err
    assert "words 2" in out + err


def test_debugging_shows_where_it_happened_in_the_worker(acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELPRESS_DEBUG", "1")
    acme.plant(RUN, "return {}['hidden_size']")
    assert "return {}['hidden_size']" in acme.run("run", acme.workflow())[2]


def test_a_pass_that_prints_without_end_is_stopped(acme: Acme) -> None:
    acme.plant(RUN, "while True: print('x' * 10**6)")
    acme.assert_told(acme.run("run", acme.workflow()), "it printed more than 1,000,000,000 characters")
    (log,) = acme.folder.glob("cache/jobs/*/log.txt")
    assert log.stat().st_size < 2 * worker_output.MOST_KEPT


def test_of_a_log_that_is_too_long_the_begin_and_the_end_are_kept(acme: Acme) -> None:
    acme.plant(
        RUN,
        "os.write(1, b'this is the begin\\n')\n"
        "for _ in range(80): os.write(2, b'x' * 2**20)\n"
        "os.write(1, b'this is the end\\n')\n"
        "raise PassError('enough')",
    )
    code, out, err = acme.run("run", acme.workflow())
    assert code == 4
    assert (out + err).count("It printed more than 64 MiB") == 1
    (log,) = acme.folder.glob("cache/jobs/*/log.txt")
    text = log.read_bytes()
    assert len(text) < worker_output.MOST_KEPT
    assert b"this is the begin\n" in text[:1000]
    assert b"more was printed here than is kept" in text
    assert b"this is the end\n" in text[-10000:]


def test_a_job_folder_says_whose_code_it_runs(acme: Acme) -> None:
    acme.plant(RUN, "return None")
    acme.run("run", acme.workflow())
    (job,) = acme.folder.glob("cache/jobs/*/job.json")
    origin = json.loads(job.read_text())["origin"]
    assert origin[:5] == ["pass", "Prune", "acme", "acme-press", "2.3"]
