"""The emulator itself, by what the real SDK does with it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from azure_emulator import Cloud


@pytest.fixture
def client(cloud: Cloud) -> Any:
    from azure.ai.ml import MLClient
    from azure.identity import DefaultAzureCredential

    return MLClient(DefaultAzureCredential(), cloud.subscription, cloud.group, cloud.workspace)


def test_a_job_runs_with_what_it_declared_and_nothing_of_this_machine(
    cloud: Cloud, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from azure.ai.ml import Input, Output, command
    from azure.ai.ml.entities import Environment

    monkeypatch.setenv("OF_THIS_MACHINE", "1")
    cloud.put("workspaceblobstore", "in/rows.json", b"[1, 2]")
    code = tmp_path / "code"
    code.mkdir()
    (code / "main.py").write_text(
        "import os, sys, pathlib\n"
        "assert 'OF_THIS_MACHINE' not in os.environ and os.environ['DECLARED'] == '1'\n"
        "print('working on', pathlib.Path(sys.argv[1]).name)\n"
        "pathlib.Path(sys.argv[2], 'made.txt').write_bytes(pathlib.Path(sys.argv[1]).read_bytes())\n"
    )
    job = command(
        code=str(code),
        command="python main.py ${{inputs.rows}} ${{outputs.made}}",
        inputs={"rows": Input(type="uri_file", path="azureml://datastores/workspaceblobstore/paths/in/rows.json")},
        outputs={"made": Output(type="uri_folder")},
        environment=Environment(image="python:3.11"),
        environment_variables={"DECLARED": "1"},
        compute=cloud.compute,
    )  # fmt: skip
    submitted = client.jobs.create_or_update(job)
    run = cloud.jobs.runs[submitted.name]
    end = time.monotonic() + 60
    while not run.done and time.monotonic() < end:
        time.sleep(0.05)
    assert (run.status, run.error) == ("Completed", None)
    client.jobs.download(submitted.name, download_path=tmp_path / "back", output_name="made")
    assert (tmp_path / "back" / "named-outputs" / "made" / "made.txt").read_text() == "[1, 2]"
    assert b"working on rows.json" in cloud.storage.read(run.artifacts.under("user_logs/std_log.txt"))


def test_another_host_is_refused_and_noted(session_cloud: Cloud) -> None:
    import urllib3

    pool = urllib3.ProxyManager(session_cloud.proxy.url, retries=False)
    with pytest.raises(urllib3.exceptions.ProxyError):
        pool.request("GET", "https://example.com/")
    assert session_cloud.proxy.refused.pop() == "example.com"
