"""A secret reaches the pass that names it, and is found nowhere else: not in a file, not in a message."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from modelpress.engine.job import read_job
from modelpress.errors import UserError
from modelpress.secrets import collect_secrets, give_secrets, is_known, read_secret, redact, scrub
from modelpress.spec_checks import what_is_wrong
from modelpress.specs import ResourceSpec

SECRET = "planted-7b1e-secret"
PLUGIN = Path(__file__).with_name("secret_plugin.py.txt").read_text(encoding="utf-8")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a model; the plugin is installed for runs in processes of their own."""
    site = tmp_path / "site"
    info = site / "secret-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: secret\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[modelpress]\nsecret = secret_plugin\n")
    (site / "secret_plugin.py").write_text(PLUGIN)
    path = os.pathsep.join([str(site), *(p for p in sys.path if p)])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("ACME_TOKEN", SECRET)
    monkeypatch.setenv("NOT_NAMED_TOKEN", SECRET + "-other")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    folder = tmp_path / "work"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "text.txt").write_text("one")
    return folder


def write_workflow(work: Path, systems: object = None, **step: object) -> None:
    document = {
        **({"systems": systems, "host": "here"} if systems else {}),
        "input_model": {"type": "Text", "model_path": "model"},
        "passes": {"use": {"type": "Use", **step}},
        "cache_dir": "cache",
        "output_dir": "output",
    }
    (work / "w.json").write_text(json.dumps(document))


def run(
    work: Path, command: str = "run", *flags: str, systems: object = None, **step: object
) -> subprocess.CompletedProcess[str]:
    write_workflow(work, systems, **step)
    return subprocess.run(
        [sys.executable, "-m", "modelpress", command, "w.json", *flags],
        cwd=work, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def leaks(work: Path, done: subprocess.CompletedProcess[str], secret: str = SECRET) -> list[str]:
    """Where the secret is found: files left behind (but for what the user wrote), standard streams."""
    everywhere = [p for p in work.parent.rglob("*") if p.is_file() and "site" not in p.parts]
    found = [str(p) for p in everywhere if p.name != "w.json" and secret.encode() in p.read_bytes()]
    return [
        *found,
        *(["stdout"] if secret in done.stdout else []),
        *(["stderr"] if secret in done.stderr else []),
    ]


def test_a_pass_reads_it_and_nobody_else_sees_it(work: Path) -> None:
    done = run(work, token="ACME_TOKEN", parts=[{"token": "ACME_TOKEN"}])
    assert done.returncode == 0, done.stderr
    assert (work / "output" / "model" / "text.txt").read_text() == f"{2 * len(SECRET)} letters"
    assert leaks(work, done) == []
    record = json.loads((work / "output" / "run.json").read_text())
    assert record["steps"][0]["options"]["token"] == "$secret"
    assert record["steps"][0]["options"]["parts"] == [{"token": "$secret"}]


@pytest.mark.parametrize(
    ("behaviour", "code", "told"),
    [
        ("print", 0, "noted <ACME_TOKEN>"),
        ("raise", 4, "refused for <ACME_TOKEN>"),
        ("crash", 4, "HTTP 401 for <ACME_TOKEN>"),
        ("die", 4, "about to die with <ACME_TOKEN>"),
    ],
)
def test_what_a_pass_says_of_it_is_taken_out(work: Path, behaviour: str, code: int, told: str) -> None:
    done = run(work, token="ACME_TOKEN", behaviour=behaviour)
    assert done.returncode == code, done.stdout + done.stderr
    assert told in done.stdout + done.stderr
    assert leaks(work, done) == []


def here(**options: object) -> dict[str, object]:
    return {"here": {"type": "LocalSystem", **options}}


@pytest.mark.parametrize("behaviour", ["print", "raise", "crash", "die"])
@pytest.mark.parametrize(
    ("systems", "variable"),
    [
        (here(environment_variables=["ACME_TOKEN"]), "ACME_TOKEN"),
        (here(environment_variables={"API_TOKEN": "${ACME_TOKEN}"}), "API_TOKEN"),
        (here(environment_variables={"API_TOKEN": SECRET}), "API_TOKEN"),
    ],
    ids=["by name", "expanded", "written out"],
)
def test_what_a_system_gives_to_the_worker_is_taken_out_too(
    work: Path, systems: object, variable: str, behaviour: str
) -> None:
    done = run(work, systems=systems, variable=variable, behaviour=behaviour)
    assert done.returncode == (0 if behaviour == "print" else 4), done.stdout + done.stderr
    assert leaks(work, done) == []


@pytest.mark.parametrize(("behaviour", "code"), [("", 0), ("refuses", 4), ("breaks", 4)])
def test_the_secret_of_a_resource_is_found_nowhere(work: Path, behaviour: str, code: int) -> None:
    done = run(work, file={"type": "vault", "token": "ACME_TOKEN", "behaviour": behaviour})
    assert done.returncode == code, done.stdout + done.stderr
    assert "<ACME_TOKEN>" in done.stdout + done.stderr
    assert leaks(work, done) == []


IN_SAFE = {"type": "safe", "name": "kept"}


@pytest.fixture
def safe(work: Path) -> Path:
    """The work folder, and a safe whose `kept` is the secret; ACME_TOKEN is another."""
    (work.parent / "site" / "kept").write_text(SECRET)
    os.environ["ACME_TOKEN"] = "planted-key-of-the-safe"  # `work` takes it away again
    return work


def asked(work: Path) -> list[str]:
    """What the safe was asked for."""
    file = work.parent / "site" / "asked"
    return file.read_text().split() if file.exists() else []


def test_a_secret_in_a_vault_reaches_the_pass_and_nobody_else(safe: Path) -> None:
    reference = {**IN_SAFE, "token": "ACME_TOKEN"}
    done = run(safe, token=reference, parts=[{"token": reference}, {"token": "ACME_TOKEN"}])
    assert done.returncode == 0, done.stderr
    letters = 2 * len(SECRET) + len("planted-key-of-the-safe")
    assert (safe / "output" / "model" / "text.txt").read_text() == f"{letters} letters"
    assert leaks(safe, done) == leaks(safe, done, "planted-key-of-the-safe") == []
    assert asked(safe) == ["kept"]
    record = json.loads((safe / "output" / "run.json").read_text())
    assert record["steps"][0]["options"]["token"] == "$secret"


def test_a_vault_is_not_asked_where_nothing_needs_the_secret(safe: Path) -> None:
    run(safe, token="ACME_TOKEN")
    for command in ("validate", "plan", "run"):
        done = run(safe, command, token=IN_SAFE)
        assert done.returncode == 0, done.stderr
    assert "in the cache" in done.stdout + done.stderr
    assert asked(safe) == []


@pytest.mark.parametrize("behaviour", ["print", "raise", "crash", "die"])
def test_what_a_pass_says_of_a_vaults_secret_is_taken_out(safe: Path, behaviour: str) -> None:
    done = run(safe, token=IN_SAFE, behaviour=behaviour)
    assert done.returncode == (0 if behaviour == "print" else 4), done.stdout + done.stderr
    assert "<VAULT_SAFE_" in done.stdout + done.stderr
    assert leaks(safe, done) == []


@pytest.mark.parametrize(
    ("behaviour", "code", "told"),
    [
        ("bytes", 4, "it returned bytes, expected the secret as text"),
        ("empty", 4, "it returned empty text"),
        ("away", 5, "The resource 'safe' cannot be reached: ConnectionError: no route to the safe"),
    ],
)
def test_a_vault_that_does_not_answer_is_told_without_the_secret(
    safe: Path, behaviour: str, code: int, told: str
) -> None:
    done = run(safe, token={**IN_SAFE, "behaviour": behaviour})
    assert done.returncode == code, done.stdout + done.stderr
    assert told in done.stderr
    assert leaks(safe, done) == []


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"token": {"type": "saef", "name": "kept"}}, "There is no resource named 'saef'"),
        ({"token": {"type": "safe", "nmae": "kept"}}, "has no option 'nmae'"),
        ({"token": {"type": "safe", "name": "kept", "token": SECRET}}, "the name of an environment variable"),
        ({"token": {"type": "vault", "token": "ACME_TOKEN"}}, "a secret is expected here"),
        ({"file": IN_SAFE}, "a file or folder is expected here"),
        ({"token": {**IN_SAFE, "token": {**IN_SAFE, "name": 3}}}, "'name' has to be text"),
    ],
)
def test_a_reference_that_is_wrong_is_told_before_any_work(
    safe: Path, step: dict[str, object], told: str
) -> None:
    done = run(safe, "validate", **step)
    assert done.returncode == 2, done.stdout + done.stderr
    assert told in done.stdout + done.stderr
    assert (leaks(safe, done), asked(safe)) == ([], [])


def test_a_run_that_is_offline_asks_no_vault(safe: Path) -> None:
    done = run(safe, "run", "--offline", token=IN_SAFE)
    assert done.returncode == 2
    assert "kept by 'safe', and the run is offline" in done.stderr
    assert asked(safe) == []


def test_the_secret_of_a_resource_can_be_in_a_vault(safe: Path) -> None:
    done = run(safe, file={"type": "vault", "token": IN_SAFE})
    assert done.returncode == 0, done.stdout + done.stderr
    assert leaks(safe, done) == []
    assert asked(safe) == ["kept"]


@pytest.mark.parametrize("fields", [{}, {"identity": "a:b"}, {"secret": "a:b", "fetch": "a:b"}])
def test_a_resource_is_a_file_or_keeps_secrets(fields: dict[str, str]) -> None:
    assert "identity and fetch, or secret alone" in what_is_wrong(ResourceSpec("acme", "It.", **fields))


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize("killed", ["the run", "the run and its worker"])
@pytest.mark.parametrize("moment", ["plan", "vault", "fetch", "fetched", "pass", "check"])
def test_what_is_killed_leaves_no_secret(safe: Path, moment: str, killed: str) -> None:
    """A secret in an option, a vault and the worker's environment; a pass and libraries that print it."""
    site = safe.parent / "site"
    (site / "moment").write_text(moment)
    write_workflow(
        safe,
        here(environment_variables={"API_TOKEN": SECRET}),
        token=IN_SAFE,
        parts=[{"token": "ACME_TOKEN"}],
        variable="API_TOKEN",
        file={"type": "vault", "token": "ACME_TOKEN"},
        behaviour="linger",
    )
    with (safe.parent / "streams").open("wb") as streams:
        started = subprocess.Popen(
            [sys.executable, "-m", "modelpress", "run", "w.json"], cwd=safe, stdout=streams, stderr=streams
        )
    wait_for(lambda: (site / "reached").exists() or started.poll() is not None)
    assert started.poll() is None, (safe.parent / "streams").read_text()
    wait_for(lambda: True, seconds=0.5)  # what a native library wrote to the log is overwritten by now
    family = psutil.Process(started.pid).children(recursive=True)
    for process in [started, *(family if killed != "the run" else [])]:
        process.kill()
    started.wait()
    psutil.wait_procs(family, timeout=30)
    ended = subprocess.CompletedProcess([], started.returncode, "", "")
    assert leaks(safe, ended) == leaks(safe, ended, "planted-key-of-the-safe") == []


def wait_for(ready: Callable[[], bool], seconds: float = 0.0) -> None:
    time.sleep(seconds)
    deadline = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_secret_written_out_in_a_resource_or_a_system_is_refused(work: Path) -> None:
    in_resources = ({"token": SECRET}, {"token": "ACME_TOKEN", "password": SECRET})
    files = [{"file": {"type": "vault", **options}} for options in in_resources]
    for parts in (*files, {"systems": here(hf_token=SECRET)}):
        done = run(work, **parts)  # type: ignore[arg-type]
        assert done.returncode == 2
        assert leaks(work, done) == []


def test_a_pass_reads_no_secret_that_its_options_do_not_name(work: Path) -> None:
    done = run(work, token="ACME_TOKEN", behaviour="other")
    assert done.returncode == 4
    assert "asked for a secret that no option of the step names" in done.stderr
    assert leaks(work, done) == []


def test_another_secret_or_name_is_the_same_step(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(work, token="ACME_TOKEN")
    monkeypatch.setenv("OTHER_TOKEN", "planted-other")
    done = run(work, token="OTHER_TOKEN")
    assert "cache" in done.stdout + done.stderr
    assert not list((work / "cache" / "jobs").glob("*"))


def test_one_that_is_not_set_is_told_before_any_work_and_not_repeated(work: Path) -> None:
    done = run(work, token="HUNTER2")
    assert done.returncode == 2
    assert "'token' names an environment variable that is not set" in done.stderr
    assert "HUNTER2" not in done.stdout + done.stderr
    assert not (work / "cache" / "artifacts").exists()


@pytest.mark.parametrize("command", ["run", "plan", "validate"])
def test_one_that_is_written_out_is_refused_and_left_nowhere(work: Path, command: str) -> None:
    for step in ({"token": SECRET}, {"password": SECRET}):
        done = run(work, command, **step)
        assert done.returncode == 2
        assert leaks(work, done) == []


def test_it_works_in_this_process_too(work: Path) -> None:
    done = run(work, "run", "--in-process", token="ACME_TOKEN", behaviour="in process")
    if "No such option" in done.stderr:
        pytest.skip("the command line has no switch for it")
    assert done.returncode == 0, done.stderr
    assert leaks(work, done) == []


def test_a_job_holds_names_alone(make_job) -> None:
    folder = make_job("write", secrets=("ACME_TOKEN",))
    assert read_job(folder).secrets == ("ACME_TOKEN",)


def test_secrets_are_read_given_and_redacted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("A_TOKEN", "planted-a")
    assert read_secret("A_TOKEN") == "planted-a"
    assert redact("x planted-a y") == "x <A_TOKEN> y"
    with pytest.raises(UserError, match="B_TOKEN is not set"):
        read_secret("B_TOKEN")
    give_secrets({"B_TOKEN": "planted-b"})
    assert is_known("B_TOKEN")
    assert collect_secrets(["A_TOKEN", "B_TOKEN", "C_TOKEN"]) == {
        "A_TOKEN": "planted-a",
        "B_TOKEN": "planted-b",
    }
    (tmp_path / "log").write_bytes(b"\xff planted-b planted-a")
    scrub([tmp_path / "log", tmp_path / "absent"])
    assert (tmp_path / "log").read_bytes() == b"\xff <B_TOKEN> <A_TOKEN>"


def test_a_secret_is_found_in_json_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("D_TOKEN", 'plänted "d"')
    read_secret("D_TOKEN")
    assert redact(json.dumps({"told": 'plänted "d"'})) == '{"told": "<D_TOKEN>"}'


def test_a_very_short_secret_spoils_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C_TOKEN", "a")
    assert read_secret("C_TOKEN") == "a"
    assert redact("a banana") == "a banana"


def test_what_the_environment_holds_by_its_names_is_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("E_API_KEY", "planted-in-environment")
    monkeypatch.setenv("F_API_KEY", "true")
    monkeypatch.setenv("G_HOME", "/planted/home")
    assert redact("planted-in-environment true /planted/home") == "<E_API_KEY> true /planted/home"
