"""The system AzureML, by real runs against the loopback cloud."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from modelpress.api import ModelpressError
from modelpress.engine.job import read_job
from modelpress.records import write_record

if TYPE_CHECKING:
    from azure_emulator import Cloud
    from azure_emulator.executor import JobRun

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DOCUMENT = ROOT / "tests" / "core" / "config" / "olive" / "olive-config.azureml.json"


@dataclass
class Press:
    """The document's workflow in a folder of its own, with its placeholders filled in."""

    cloud: Cloud
    folder: Path

    def write(self, **changes: Any) -> Path:
        text = DOCUMENT.read_text()
        known = {
            "Your Azure AI Studio / Azure Machine Learning Service Compute Name": self.cloud.compute,
            "Your Azure AI Studio / Azure Machine Learning Service docker": "mcr.microsoft.com/azureml/gpu:1",
            "Your Azure Subscrition ID": self.cloud.subscription,
            "Your Azure Resource Group": self.cloud.group,
            "Your Azure ML Workspaces name": self.cloud.workspace,
            "Your train_data.json Azure ML Location": "train/train_data.json",
        }
        for placeholder, value in known.items():
            assert placeholder in text
            text = text.replace(placeholder, value)
        document = json.loads(text)
        document["azureml_client"] = self.cloud.client
        document.update(changes)
        file = self.folder / "phi3" / "olive-config.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(document))
        (file.parent / "conda.yaml").write_text((HERE / "conda.yaml").read_text())
        return file

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "modelpress", *map(str, arguments)],
            env={**os.environ, "AZUREML_RUN_POLLING_INTERVAL_MIN": "0.3",
                 "AZUREML_RUN_POLLING_INTERVAL_MAX": "1"},
            cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=550)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    @property
    def output(self) -> Path:
        return self.folder / "model-cache" / "models" / "phi3-finetuned"


@pytest.fixture
def press(cloud: Cloud, tmp_path: Path, emotions_model: Path, emotions_data: Path) -> Press:
    from azure_emulator.storage import Place

    place = Place("otherstorage", "shared", "models/phi-3")
    files = {file.name: file.read_bytes() for file in emotions_model.iterdir() if file.is_file()}
    mlflow = {f"data/model/{name}": data for name, data in files.items()}
    flavor = "flavors:\n  hftransformersv2:\n    model_data: data\n"
    cloud.storage.put(place, {"MLmodel": flavor.encode(), **mlflow})
    cloud.registries.put("azureml-msr", "Phi-3-mini-4k-instruct", "11", place)
    rows = [
        {"Question": row["phrase"], "Best Answer": row["tone"]}
        for row in json.loads(emotions_data.read_text())[:24]
    ]
    cloud.put("workspaceblobstore", "train/train_data.json", json.dumps(rows).encode())
    cloud.vault.secrets[f"{cloud.vault_name}/hf-token"] = "hf_planted_9d1b7c"
    cloud.executor.before = _without_gpu
    return Press(cloud, tmp_path)


def _without_gpu(run: JobRun, node: Path) -> None:
    """The nodes of this cloud have no GPU: what was meant for one is done on the CPU, and not tried there."""
    folder = node / "inputs" / "job"
    job = replace(read_job(folder), device="cpu", target_is_here=False, load_once=False)
    write_record(folder / "job.json", job)


def planted(folder: Path, secret: str) -> list[Path]:
    """Files that hold a secret."""
    return [file for file in folder.rglob("*") if file.is_file() and secret.encode() in file.read_bytes()]


def test_the_documents_azure_file_runs_there_whole(press: Press, cloud: Cloud) -> None:
    file = press.write()
    before = len(cloud.jobs.runs)
    done = press.run("run", file)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    runs = list(cloud.jobs.runs.values())[before:]
    assert [run.status for run in runs] == ["Completed"] * 3
    answer = press.run("ask", press.output, "What a lovely day", "--max-new-tokens", "5")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    told = done.stdout + done.stderr + answer.stdout + answer.stderr
    for secret in ("hf_planted_9d1b7c", cloud.client_secret, *cloud.storage.keys.values()):
        assert secret not in told
        assert planted(press.folder, secret) == []
        assert secret not in json.dumps([run.properties for run in runs])


def told_of(run: JobRun) -> dict[str, Any]:
    """What its submission said on the wire."""
    return run.properties


def test_its_qlora_variant_runs_on_a_kubernetes_cluster_by_arc(press: Press, cloud: Cloud) -> None:
    pytest.importorskip("bitsandbytes", reason="the extra qlora is not installed")
    document = json.loads(press.write().read_text())
    lora = document["passes"]["lora"]
    lora["type"] = "QLoRA"
    lora["config"]["training_args"]["max_steps"] = 2
    document["systems"]["azure_arc"]["config"] |= {
        "aml_compute": "arc-cluster",
        "resources": {"instance_type": "gpu4", "shm_size": "4g"},
        "instance_count": 2,
        "tags": {"team": "press"},
    }
    document["engine"] |= {"host": "azure_arc", "target": "azure_arc"}
    before = len(cloud.jobs.runs)
    done = press.run("run", press.write(**document))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    runs = list(cloud.jobs.runs.values())[before:]
    assert [run.status for run in runs] == ["Completed"] * 3
    for run in runs:
        told = told_of(run)
        assert told["computeId"].endswith("/computes/arc-cluster")
        assert told["resources"]["instanceType"] == "gpu4"
        assert told["resources"]["shmSize"] == "4g"
        assert told["resources"]["instanceCount"] == 2
        assert told["tags"]["team"] == "press"
    assert press.run("ask", press.output, "What a day", "--max-new-tokens", "3").returncode == 0


def planned(file: Path) -> str:
    """What a plan says of a workflow that cannot be done."""
    import modelpress

    with pytest.raises(ModelpressError) as error:
        modelpress.plan(file)
    return str(error.value)


def changed(press: Press, **system: Any) -> Path:
    document = json.loads(press.write().read_text())
    document["systems"]["aml"]["config"] |= system
    return press.write(**document)


@pytest.mark.parametrize(
    ("system", "told"),
    [
        ({"aml_compute": "gpu-clustr"}, "no compute target 'gpu-clustr'"),
        ({"aml_compute": "Your Compute Name"}, "placeholder"),
        ({"aml_docker_config": {"base_image": "x", "conda_file_path": "missing.yaml"}}, "does not exist"),
        ({"aml_docker_config": {"conda_file_path": "conda.yaml"}}, "base_image or build_context_path"),
        ({"aml_environment_config": {"name": "e", "version": 1}}, "one of the two"),
    ],
)
def test_what_cannot_be_is_told_by_the_plan_with_nothing_left_there(
    press: Press, cloud: Cloud, system: dict[str, Any], told: str
) -> None:
    there = cloud.storage.names(cloud.arm.datastores["workspaceblobstore"].place)
    runs = len(cloud.jobs.runs)
    text = planned(changed(press, **system))
    assert told in text
    assert "there is none" not in text  # what only follows from it
    assert "olive-config.json:" in text
    assert cloud.storage.names(cloud.arm.datastores["workspaceblobstore"].place) == there
    assert len(cloud.jobs.runs) == runs


def test_an_image_that_cannot_be_pulled_is_told_with_what_azure_says(
    press: Press, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud.arm, "images", {"another"})
    done = press.run("run", press.write())
    assert done.returncode == 4, done.stdout + done.stderr
    assert "Image pull failed: manifest for mcr.microsoft.com/azureml/gpu:1 not found" in done.stderr
    assert "This is a bug" not in done.stderr


def test_a_preempted_job_goes_on_and_a_run_that_was_killed_attaches(press: Press, cloud: Cloud) -> None:
    document = json.loads(press.write().read_text())
    document["passes"] = {"lora": document["passes"]["lora"]}
    document["passes"]["lora"]["config"]["training_args"] |= {
        "max_steps": 40, "save_steps": 1, "save_strategy": "steps", "logging_steps": 1,
    }  # fmt: skip
    file = press.write(**document)
    before = set(cloud.jobs.runs)
    first = press.start("run", file)
    name = wait_for(lambda: next(iter(set(cloud.jobs.runs) - before), None))
    run = cloud.jobs.runs[name]
    kept = cloud.arm.datastores["workspaceblobstore"].place.under(f"modelpress/jobs/{name}/done/checkpoint")
    wait_for(lambda: cloud.storage.names(kept) or run.done)
    first.kill()
    first.wait()
    run.preempt()
    done = press.run("run", file)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "attached to the job" in done.stdout + done.stderr
    assert run.starts == 2
    assert set(cloud.jobs.runs) - before == {name}


def wait_for(condition: Callable[[], Any], seconds: float = 200) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
    return found
