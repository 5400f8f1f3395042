"""The document's Azure file and what varies of it, by real runs against the loopback cloud."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from azure_runs import outcome, planted

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
    for file in (node / "inputs" / "job").glob("*/job.json"):
        job = replace(read_job(file.parent), device="cpu", target_is_here=False, load_once=False)
        write_record(file, job)


def test_the_documents_azure_file_runs_there_whole(press: Press, cloud: Cloud) -> None:
    file = press.write()
    before, carried = len(cloud.jobs.runs), len(cloud.storage.carried)
    done = press.run("run", file)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    (run,) = list(cloud.jobs.runs.values())[before:]
    assert (outcome(run), run.starts) == ("Completed", 1)
    assert run.properties["tags"]["modelpress.step"] == "lora, merge_adapter_weights, builder"
    mounted = [given["uri"] for given in run.properties["inputs"].values()]
    assert "azureml://registries/azureml-msr/models/Phi-3-mini-4k-instruct/versions/11" in mounted
    assert any(uri.endswith("/datastores/workspaceblobstore/paths/train/train_data.json") for uri in mounted)
    ways = cloud.storage.carried[carried:]
    assert not [name for way, name in ways if way == "up" and name.endswith(".safetensors")]
    made = [name for way, name in ways if way == "down" and "/out/" in name]
    assert {name.split("/")[4] for name in made} == {"2"}  # of three passes the last
    assert len(made) == len(set(made))
    name, _, version = run.properties["environmentId"].split("/")[-3:]
    environment = cloud.arm.assets[f"environments/{name}/{version}"]
    assert "olive" not in environment["condaFile"].lower()
    answer = press.run("ask", press.output, "What a lovely day", "--max-new-tokens", "5")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    told = done.stdout + done.stderr + answer.stdout + answer.stderr
    for secret in ("hf_planted_9d1b7c", cloud.client_secret, *cloud.storage.keys.values()):
        assert secret not in told
        assert planted(press.folder, secret) == []
        assert secret not in json.dumps(run.properties)


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
    (run,) = list(cloud.jobs.runs.values())[before:]
    assert outcome(run) == "Completed"
    told = run.properties
    assert told["computeId"].endswith("/computes/arc-cluster")
    assert told["resources"]["instanceType"] == "gpu4"
    assert told["resources"]["shmSize"] == "4g"
    assert told["resources"]["instanceCount"] == 2
    assert told["tags"]["team"] == "press"
    assert press.run("ask", press.output, "What a day", "--max-new-tokens", "3").returncode == 0
