"""A system that shares no files: what is carried there and back, and what becomes of its jobs."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec

import pytest

pty = pytest.importorskip("pty", reason="terminals are POSIX")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
WORDS = {"evaluators": {"e": {"metrics": [{"type": "words"}]}}}


def test_a_chain_carries_the_model_there_once_and_the_result_back_once(far) -> None:
    passes = {name: {"type": "Append", "text": f" {name}", "evaluator": "e"} for name in ("a", "b", "c")}
    del passes["a"]["evaluator"]
    far.write(passes=passes, **WORDS, evaluator="e")
    done = far.demo.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert far.demo.text == "one two a b c"
    assert far.count("start") == 5
    assert [line for line in far.carried if line.startswith(("up", "down out"))] == ["up model", "down out"]
    assert len(list(far.demo.folder.glob("cache/away/*"))) == 2  # a and b have stayed there
    again = far.demo.run()
    assert again.returncode == 0, again.stdout + again.stderr
    assert far.count("start") == 5  # what stayed there counts as done


def test_a_place_that_joins_jobs_is_given_the_chain_at_once(far) -> None:
    passes = {name: {"type": "Append", "text": f" {name}", "evaluator": "e"} for name in ("a", "b", "c")}
    del passes["a"]["evaluator"]
    far.write(passes=passes, **WORDS, evaluator="e", options={"joins": True})
    done = far.demo.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert far.demo.text == "one two a b c"
    assert "attached" not in done.stdout
    carried = [line for line in far.carried if line.startswith(("up", "down out", "start"))]
    assert carried == ["up model", "start a b words c words", "down out"]
    assert not list(far.demo.folder.glob("cache/handles/*"))
    assert far.demo.run().returncode == 0
    assert far.count("start") == 1


def test_what_comes_after_a_job_that_fails_is_not_done_and_what_came_before_is_kept(far) -> None:
    passes = {name: {"type": "Append", "text": name, "fail": name == "b"} for name in "abc"}
    far.write(passes=passes, options={"joins": True})
    assert far.demo.run().returncode == 4
    assert not list(far.demo.folder.glob("cache/handles/*"))
    passes["b"]["fail"] = False
    far.write(passes=passes, options={"joins": True})
    done = far.demo.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in far.carried if line.startswith("start")] == ["start a b c", "start b c"]
    assert far.demo.text == "one twoabc"


def test_a_chain_is_attached_to_in_its_middle_by_the_run_after_one_that_was_killed(far, monkeypatch) -> None:
    slow = {"type": "Append", "text": "b", "pieces": 20, "seconds": 0.1}
    passes = {"a": {"type": "Append", "text": "a"}, "b": slow, "c": {"type": "Append", "text": "c"}}
    far.write(passes=passes, options={"joins": True})
    monkeypatch.setenv("FAR_DIES_IN_SUBMIT", "1")
    assert far.demo.run().returncode == -signal.SIGKILL
    monkeypatch.delenv("FAR_DIES_IN_SUBMIT")
    run = far.demo.start()
    wait_until(lambda: far.demo.done.count("piece 2") == 1)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    done = far.demo.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "attached to the job" in done.stdout
    assert far.count("start") == 1
    assert far.demo.done == ["append a", "append b", *(f"piece {number}" for number in range(20)), "append c"]


def test_ctrl_c_ends_a_chain_and_nothing_of_it_is_left(far) -> None:
    slow = {"type": "Append", "text": "b", "pieces": 40, "seconds": 0.1}
    far.write(passes={"b": slow, "c": {"type": "Append", "text": "c"}}, options={"joins": True})
    run = far.demo.start()
    wait_until(lambda: far.demo.done.count("piece 2") == 1)
    run.send_signal(signal.SIGINT)
    assert run.wait(30) == 130
    assert not far.working
    assert not list(far.demo.folder.glob("cache/handles/*"))


def test_what_another_place_needs_is_fetched_when_it_needs_it(far) -> None:
    passes = {
        "a": {"type": "Append", "text": " a"},
        "b": {"type": "Append", "text": " b", "host": "local"},
        "c": {"type": "Append", "text": " c"},
    }
    far.write(
        passes=passes, systems={"far": {"type": "Far", "place": "far"}, "local": {"type": "LocalSystem"}}
    )
    done = far.demo.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert far.demo.text == "one two a b c"
    carried = [line for line in far.carried if line.startswith(("up", "down out"))]
    assert carried == ["up model", "down out", "up model", "down out"]


def test_data_and_files_of_options_are_carried_by_what_they_are(far) -> None:
    (far.demo.folder / "lines.txt").write_text("x\ny\n")
    data = [{"name": "lines", "type": "Lines", "file": "lines.txt"}]
    passes = {
        name: {"type": "Append", "text": name, "train_data_config": "lines", "file": "lines.txt"}
        for name in ("a", "b")
    }
    far.write(passes=passes, data_configs=data)
    done = far.demo.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert far.demo.text == "one twoaxyx\ny\nbxyx\ny\n"
    assert far.count("up") == 2  # the model, and one file with two names


def test_each_system_is_asked_once_for_what_is_installed(far) -> None:
    passes = {name: {"type": "Append", "text": name} for name in "abcd"}
    far.write(passes=passes, **WORDS, evaluator="e")
    assert far.demo.run().returncode == 0
    assert far.count("environment") == 1
    assert far.count("prepare") == 1


def test_a_job_goes_on_when_its_run_is_killed_and_the_next_run_attaches(far) -> None:
    far.write(passes={"a": {"type": "Append", "text": "!", "pieces": 30, "seconds": 0.1}})
    run = far.demo.start()
    wait_until(lambda: far.demo.done.count("piece 2") == 1)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert far.working
    done = far.demo.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "attached to the job" in done.stdout
    assert far.count("start") == 1
    assert far.demo.done == ["append !", *(f"piece {number}" for number in range(30))]
    assert not list(far.demo.folder.glob("cache/handles/*"))


def test_a_job_that_ended_meanwhile_is_picked_up(far) -> None:
    far.write(passes={"a": {"type": "Append", "text": "!", "pieces": 5, "seconds": 0.1}})
    run = far.demo.start()
    wait_until(lambda: far.demo.done.count("piece 0") == 1)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    wait_until(lambda: not far.working)
    done = far.demo.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert far.count("start") == 1


def test_a_run_killed_while_it_submits_starts_nothing_twice(far, monkeypatch) -> None:
    far.write(passes={"a": {"type": "Append", "text": "!", "pieces": 3, "seconds": 0.1}})
    monkeypatch.setenv("FAR_DIES_IN_SUBMIT", "1")
    assert far.demo.run().returncode == -signal.SIGKILL
    monkeypatch.delenv("FAR_DIES_IN_SUBMIT")
    done = far.demo.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert far.count("start") == 1


@pytest.mark.parametrize("name", ["_demo_fast", "demo_parts/_fast"])
def test_compiled_code_of_another_python_is_refused_with_the_reason(far, name: str) -> None:
    """At the top level, and within a package."""
    own = EXTENSION_SUFFIXES[0]
    file = far.demo.site / f"{name}{own}"
    file.parent.mkdir(exist_ok=True)
    shutil.copy(str(find_spec("xxhash._xxhash").origin), file)
    record = far.demo.site / "demo_plugin-1.0.dist-info" / "RECORD"
    files = [file.relative_to(far.demo.site).as_posix()]
    if "/" in name:
        (file.parent / "__init__.py").touch()
        files.append("demo_parts/__init__.py")
    record.write_text(record.read_text() + "".join(f"{each},,\n" for each in files))
    other = [".cpython-399-riscv64-linux-gnu.so", ".abi3.so", ".so"]
    far.write(passes={"a": {"type": "Append", "text": "!"}}, options={"suffixes": other})
    refused = far.demo.run()
    said = " ".join(refused.stderr.split())
    assert refused.returncode == 2, said
    assert f"{file.name} of demo-plugin is compiled for another place than 'far'" in said
    assert "imports .cpython-399-riscv64-linux-gnu.so" in said
    assert far.count("start") == 0
    far.write(passes={"a": {"type": "Append", "text": "!"}}, options={"suffixes": [own, ".abi3.so", ".so"]})
    done = far.demo.run()
    assert done.returncode == 0, done.stdout + done.stderr
    (job,) = (far.place / "jobs").iterdir()
    assert (job / "code" / files[0]).is_file()


def test_a_checkpoint_comes_back_while_the_job_runs(far, monkeypatch) -> None:
    """With the place, no more is lost than what was done since."""
    monkeypatch.setenv("MODELPRESS_CHECKPOINT_SECONDS", "0.2")
    far.write(passes={"a": {"type": "Append", "text": "!", "pieces": 60, "seconds": 0.1}})
    run = far.demo.start()
    wait_until(lambda: len(list(far.demo.folder.glob("cache/jobs/*/checkpoint/*"))) >= 3)
    assert far.working
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    for process in far.working:
        os.kill(process, signal.SIGKILL)
    wait_until(lambda: not far.working)
    shutil.rmtree(far.place)
    left = subprocess.run(
        [*far.demo.command("jobs", "cancel", "--all"), "--cache-dir", str(far.demo.folder / "cache")],
        env=far.demo.environment, check=False, capture_output=True,
    )  # fmt: skip
    assert left.returncode == 0, left.stderr
    done = far.demo.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert far.demo.done.count("piece 0") == 1


def test_a_run_that_is_hung_up_leaves_a_job_to_attach_to(far) -> None:
    """A closed terminal, a connection that ends."""
    far.write(passes={"a": {"type": "Append", "text": "!", "pieces": 30, "seconds": 0.1}})
    run = far.demo.start()
    wait_until(lambda: far.demo.done.count("piece 2") == 1)
    run.send_signal(signal.SIGHUP)
    assert run.wait(30) == -signal.SIGHUP
    assert far.working
    done = far.demo.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert far.count("start") == 1
    assert far.demo.done.count("piece 3") == 1


def test_ctrl_c_leaves_the_job_there_where_that_was_said(far) -> None:
    far.write(passes={"a": {"type": "Append", "text": "!", "pieces": 30, "seconds": 0.1}})
    run = far.demo.start("--on-interrupt", "detach")
    wait_until(lambda: far.demo.done.count("piece 2") == 1)
    run.send_signal(signal.SIGINT)
    told = run.communicate(timeout=30)[0]
    assert run.returncode == 130
    assert far.working
    assert "a goes on on 'far' as the job" in told
    assert far.demo.run().returncode == 0
    assert far.count("start") == 1


@pytest.mark.parametrize(("answer", "goes_on"), [("y", True), ("", False), ("\x03", False)])
def test_ctrl_c_asks_where_there_is_a_terminal(far, answer: str, goes_on: bool) -> None:
    """In a terminal of its own: what is answered to the question, a second Ctrl-C too, decides."""
    far.write(passes={"a": {"type": "Append", "text": "!", "pieces": 30, "seconds": 0.1}})
    command = far.demo.command("run", str(far.demo.folder / "workflow.json"))
    run, terminal = pty.fork()
    if run == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # see Demo.start
        os.execve(command[0], command, far.demo.environment)
    shown = b""
    try:
        wait_until(lambda: far.demo.done.count("piece 2") == 1)
        os.write(terminal, b"\x03")
        while b"Leave it there?" not in shown:
            shown += os.read(terminal, 10_000)
        os.write(terminal, answer.encode() if answer == "\x03" else f"{answer}\n".encode())
        with contextlib.suppress(OSError):  # the terminal closes with the run
            while shown_now := os.read(terminal, 10_000):
                shown += shown_now
        assert os.waitstatus_to_exitcode(os.waitpid(run, 0)[1]) == 130
        assert bool(far.working) is goes_on
    finally:
        os.close(terminal)


def test_ctrl_c_ends_the_job_there_and_brings_its_checkpoint_back(far) -> None:
    far.write(passes={"a": {"type": "Append", "text": "!", "pieces": 40, "seconds": 0.1}})
    run = far.demo.start()
    wait_until(lambda: far.demo.done.count("piece 2") == 1)
    run.send_signal(signal.SIGINT)
    assert run.wait(30) == 130
    assert not far.working
    (job,) = (far.demo.folder / "cache" / "jobs").iterdir()
    assert len(list((job / "checkpoint").iterdir())) >= 2
    assert not list(far.demo.folder.glob("cache/handles/*"))


def test_a_job_that_is_killed_there_is_told_and_goes_on_from_its_checkpoint(far) -> None:
    far.write(passes={"a": {"type": "Append", "text": "!", "pieces": 20, "seconds": 0.1}})
    run = far.demo.start()
    wait_until(lambda: far.demo.done.count("piece 2") == 1)
    os.killpg(far.working[0], signal.SIGKILL)  # with the worker that it started
    assert run.wait(30) == 4
    assert far.demo.run().returncode == 0
    done = far.demo.done
    assert len(done) <= len(set(done)) + 2  # "append !" twice, and no piece twice but the one in work
    assert far.demo.text.endswith("".join(f"<{number}>" for number in range(20)))


def test_an_error_there_reads_as_one_here(far) -> None:
    far.write(passes={"a": {"type": "Append", "text": "!", "fail": True}})
    done = far.demo.run()
    assert done.returncode == 4
    assert "It cannot be done." in done.stderr
    assert "Set fail to false." in done.stderr
    assert not list(far.demo.folder.glob("cache/handles/*"))


def test_what_is_gone_there_is_told_and_made_again_by_the_next_run(far) -> None:
    passes = {"a": {"type": "Append", "text": "!"}, "b": {"type": "Append", "text": "?", "fail": True}}
    far.write(passes=passes)
    assert far.demo.run().returncode == 4
    shutil.rmtree(far.place / "jobs")
    far.write(passes={**passes, "b": {"type": "Append", "text": "?"}})
    lost = far.demo.run()
    assert lost.returncode == 5
    assert "no longer on 'far'" in lost.stderr
    done = far.demo.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert far.demo.text == "one two!?"


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
