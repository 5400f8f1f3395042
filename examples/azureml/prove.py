"""Runs the smallest possible press on your Azure, and says what that has shown.

    python examples/azureml/prove.py --subscription … --group … --workspace … --compute …

It trains two steps of the embedded model (9 MB) on the compute target and merges it there, in one job;
fetches the result, registers it where that is asked for, and asks it one question. It tells the cost and asks
before it begins: a node costs what its machine costs, for as long as it takes to start, to build the
environment the first time (5 to 15 minutes) and to work (2).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

EMOTIONS = Path(__file__).resolve().parent.parent / "emotions"
MINUTES = 20
CONDA = "dependencies: [python=3.11, {pip: [azure-identity, azure-keyvault-secrets]}]\n"
QUESTION = "She cried all night after the funeral of her old friend."


def main() -> int:
    """The exit code of modelpress, 1 when the user says no."""
    given = arguments()
    cost = given.usd_per_hour * MINUTES / 60
    print(
        f"One job on {given.compute!r}, about {MINUTES} minutes of one node the first time. At "
        f"{given.usd_per_hour:g} USD an hour that is about {cost:.2f} USD. 20 MB are uploaded.",
        flush=True,
    )
    if not given.yes and input("Go on? [y/N] ").strip().lower() != "y":
        return 1
    with tempfile.TemporaryDirectory(prefix="modelpress-azure-") as text:
        folder = Path(text)
        (folder / "conda.yaml").write_text(CONDA, encoding="utf-8")
        (folder / "workflow.json").write_text(json.dumps(workflow(given)), encoding="utf-8")
        for what, words in steps(folder).items():
            print(f"\n{what}", flush=True)
            if code := modelpress(*words):
                print(f"\nIt does not work: please report what is written above (exit code {code}).")
                return code
    print(
        "\nIt works on your Azure: signed in, inputs uploaded, environment built, one job for two passes run,"
    )
    print("watched, and its result fetched and used.")
    print(
        "What was uploaded lies below modelpress/ in the datastore workspaceblobstore; docs/azureml.md says"
    )
    print("how to remove it.")
    return 0


def steps(folder: Path) -> dict[str, tuple[str | Path, ...]]:
    """What is done, and how modelpress is called for it."""
    return {
        "1. The plan: nothing is uploaded yet.": ("plan", folder / "workflow.json"),
        "2. The run.": ("run", folder / "workflow.json"),
        "3. The same again: nothing is done twice.": ("run", folder / "workflow.json"),
        "4. A question to the result.": ("ask", folder / "output", QUESTION),
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("subscription", "group", "workspace", "compute"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--image", default="mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04")
    parser.add_argument("--instance-type", help="of a Kubernetes (Azure Arc) compute target")
    parser.add_argument("--register-as", help="register the result as a model of this name")
    parser.add_argument(
        "--usd-per-hour", type=float, default=1.0, help="what a node of the compute target costs"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    return parser.parse_args()


def workflow(given: argparse.Namespace) -> dict[str, object]:
    """LoRA and merge of the embedded model, on the compute target."""
    training = {"max_steps": 2, "per_device_train_batch_size": 2, "logging_steps": 1}
    client = {
        "subscription_id": given.subscription,
        "resource_group": given.group,
        "workspace_name": given.workspace,
    }
    system: dict[str, object] = {
        "type": "AzureML",
        "aml_compute": given.compute,
        "aml_docker_config": {"base_image": given.image, "conda_file_path": "conda.yaml"},
        "resources": {"instance_type": given.instance_type},
        "register_as": given.register_as,
    }
    data = {
        "name": "train",
        "type": "HuggingfaceContainer",
        "load_dataset_config": {"data_files": str(EMOTIONS / "data" / "emotions.json")},
        "pre_process_data_config": {"text_template": "{phrase} {tone}", "max_samples": 8},
    }
    return {
        "azureml_client": client,
        "input_model": {"type": "HfModel", "model_path": str(EMOTIONS / "model")},
        "data_configs": [data],
        "systems": {"aml": system},
        "passes": {
            "lora": {"type": "LoRA", "r": 4, "train_data_config": "train", "training_args": training},
            "merge": {"type": "MergeAdapterWeights"},
        },
        "host": "aml",
        "cache_dir": "cache",
        "output_dir": "output",
    }


def modelpress(*words: str | Path) -> int:
    return subprocess.run([sys.executable, "-m", "modelpress", *map(str, words)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
