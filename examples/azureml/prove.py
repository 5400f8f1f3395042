"""Runs the smallest possible press on your Azure.

    python examples/azureml/prove.py --subscription … --group … --workspace … --compute …

It trains two steps of the embedded model (9 MB) on the compute target, merges it there, fetches the result
and asks it one question. It tells the cost and asks before it begins: a node costs what its machine costs,
for as long as it takes to start, to build the environment the first time (5 to 15 minutes) and to work (2).
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


def main() -> int:
    """The exit code of modelpress, 1 when the user says no."""
    given = arguments()
    cost = given.usd_per_hour * MINUTES / 60
    print(
        f"One job after another on {given.compute!r}, about {MINUTES} minutes of one node the first time. "
        f"At {given.usd_per_hour} USD an hour that is about {cost:.2f} USD. 20 MB are uploaded."
    )
    if not given.yes and input("Go on? [y/N] ").strip().lower() != "y":
        return 1
    with tempfile.TemporaryDirectory(prefix="modelpress-azure-") as text:
        folder = Path(text)
        (folder / "conda.yaml").write_text(CONDA)
        (folder / "workflow.json").write_text(json.dumps(workflow(given)))
        done = modelpress("run", folder / "workflow.json") or modelpress(
            "ask", folder / "output", "She cried all night after the funeral of her old friend."
        )
    print("It works on your Azure." if done == 0 else "It does not: please report what is written above.")
    print(
        "What was uploaded lies below modelpress/ in the datastore workspaceblobstore; docs/azureml.md says"
    )
    print("how to remove it.")
    return done


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("subscription", "group", "workspace", "compute"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--image", default="mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04")
    parser.add_argument(
        "--usd-per-hour", type=float, default=1.0, help="what a node of the compute target costs"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    return parser.parse_args()


def workflow(given: argparse.Namespace) -> dict[str, object]:
    arguments = {"max_steps": 2, "per_device_train_batch_size": 2, "logging_steps": 1}
    client = {
        "subscription_id": given.subscription,
        "resource_group": given.group,
        "workspace_name": given.workspace,
    }
    docker = {"base_image": given.image, "conda_file_path": "conda.yaml"}
    return {
        "azureml_client": client,
        "input_model": {"type": "HfModel", "model_path": str(EMOTIONS / "model")},
        "data_configs": [
            {
                "name": "train",
                "type": "HuggingfaceContainer",
                "load_dataset_config": {"data_files": str(EMOTIONS / "data" / "emotions.json")},
                "pre_process_data_config": {"text_template": "{phrase} {tone}", "max_samples": 8},
            }
        ],
        "systems": {"aml": {"type": "AzureML", "aml_compute": given.compute, "aml_docker_config": docker}},
        "passes": {
            "lora": {"type": "LoRA", "r": 4, "train_data_config": "train", "training_args": arguments},
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
