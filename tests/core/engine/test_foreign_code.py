"""No Python file of the folder that a command is run in, or of a job's code, is taken for a library."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from modelpress.engine.job import read_job
from modelpress.engine.process import WarmWorker, child_environment, import_path
from modelpress.errors import HostError
from modelpress.records import write_record

HOSTILE = (
    "queue",
    "json",
    "typing",
    "__future__",
    "runpy",
    "pydantic",
    "xxhash",
    "psutil",
    "tokenizers",
    "click",
)


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder of modules that leave a mark when they are run, called as those that a worker imports."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name in HOSTILE:
        (folder / f"{name}.py").write_text(
            f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r} + chr(10))\nraise SystemExit(9)\n"
        )
    return folder


def ran(folder: Path) -> str:
    mark = folder.parent / "ran"
    return mark.read_text() if mark.exists() else ""


def test_a_run_in_a_hostile_folder_runs_none_of_its_files(demo, hostile: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "modelpress", "run", str(demo.folder / "workflow.json")],
        env=demo.environment, cwd=hostile, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ran(hostile) == ""
    assert done.returncode == 0, done.stderr
    assert demo.text == "ONE TWO MORE"


@pytest.mark.parametrize("path", ["/x:", ":/x", "::/x:"])
def test_an_empty_entry_of_the_import_path_names_no_folder(path: str) -> None:
    """`export PYTHONPATH=$PYTHONPATH:/x` where there was none: the current folder, by accident."""
    path = path.replace(":", os.pathsep)
    assert child_environment({"PYTHONPATH": path})["PYTHONPATH"] == "/x"
    assert "PYTHONPATH" not in child_environment({"PYTHONPATH": os.pathsep})


def test_a_worker_started_by_hand_in_a_hostile_folder_runs_none_of_its_files(
    make_job, hostile: Path, tmp_path
) -> None:
    folder = make_job("write")
    path = os.pathsep.join([str(tmp_path / "source"), *(p for p in sys.path if p)])
    done = subprocess.run(
        [sys.executable, "-m", "modelpress.worker", str(folder)],
        env={"PYTHONPATH": path},
        cwd=hostile,
        check=False,
    )
    assert ran(hostile) == ""
    assert done.returncode == 0
    assert (folder / "result.json").exists()


def test_a_project_with_a_module_named_like_a_library_runs_from_its_own_script(demo, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "psutil.py").write_text("print('mine')\n")
    (project / "main.py").write_text(
        "import sys; mine = sys.path.pop(0); import modelpress.engine.runner; sys.path.insert(0, mine)\n"
        f"import modelpress; modelpress.run({str(demo.folder / 'workflow.json')!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "main.py"],
        env=demo.environment,
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert demo.text == "ONE TWO MORE"


def test_code_that_a_job_brings_hides_no_module_of_the_standard_library(make_job, tmp_path: Path) -> None:
    folder = make_job("write")
    code = folder / "code"
    code.mkdir()
    (code / "fractions.py").write_text("raise SystemExit(9)\n")
    (code / "brought_along.py").write_text("import fractions\nfrom demo_passes import write, Empty\n")
    write_record(folder / "job.json", replace(read_job(folder), run="brought_along:write"))
    path = os.pathsep.join([str(tmp_path / "source"), *(p for p in sys.path if p)])
    subprocess.run(
        [sys.executable, "-m", "modelpress.worker", str(folder)], env={"PYTHONPATH": path}, check=True
    )
    assert (folder / "result.json").exists(), (folder / "error.json").read_text()


def test_a_path_set_on_purpose_comes_first_and_the_scripts_folder_last(tmp_path: Path, monkeypatch) -> None:
    script, wanted = tmp_path / "script", tmp_path / "wanted"
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(script / "main.py"), raising=False)
    monkeypatch.setattr(sys, "path", [str(script), str(wanted), ""])
    monkeypatch.setenv("PYTHONPATH", str(wanted))
    path = import_path().split(os.pathsep)
    assert (path[0], path[-1]) == (str(wanted), str(script))
    monkeypatch.setenv("PYTHONPATH", str(script))
    assert import_path().split(os.pathsep)[0] == str(script)


def test_asking_for_versions_runs_no_file_of_the_current_folder(hostile: Path, monkeypatch) -> None:
    monkeypatch.chdir(hostile)
    found = WarmWorker([sys.executable]).libraries(["xxhash", "not-there"])
    assert ran(hostile) == ""
    assert set(found) == {"xxhash"}


def test_a_python_that_is_too_old_is_refused_with_its_version(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text('#!/bin/sh\necho \'{"python": "3.8.1", "found": {}}\'\n')
    old.chmod(0o755)
    with pytest.raises(HostError, match=r"is Python 3\.8\.1"):
        WarmWorker([str(old)]).libraries(["xxhash"])
