"""A pass that several processes of a cluster do together: Ray Train's TorchTrainer begins and joins them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import ray
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from modelpress.api import HostError, be_rank, collect_secrets, read_job
from modelpress_plugins.ray.order import JOINED


def begin(folder: Path, count: int, device: str) -> None:
    """Have it done, see modelpress.worker_ranks. All machines read the job's folder."""
    there = json.loads(os.environ[JOINED])
    secrets = collect_secrets(read_job(folder).secrets)
    threads = max(1, int(there["cpus"]))

    def work() -> None:
        torch.set_num_threads(threads)
        if not be_rank(folder, secrets):
            raise RuntimeError("It failed; its own words are in the job's folder.")

    ray.init(
        address=there["address"],
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env=there["runtime_env"],
        _node_ip_address=there["node"],
    )
    trainer = TorchTrainer(
        work,
        torch_config=TorchConfig(backend="nccl" if device == "gpu" else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=count, use_gpu=device == "gpu", resources_per_worker=_resources(there["cpus"], device)
        ),
        run_config=RunConfig(
            storage_path=str(folder / "scratch" / "ray-train"),
            failure_config=FailureConfig(max_failures=0),  # the job is begun again, from its checkpoint
        ),
    )
    try:
        trainer.fit()
    except Exception as error:
        if not any((folder / "scratch").glob("rank-*.error.json")):
            told = " ".join(str(error).split())[:300]
            raise HostError(f"The cluster did not train with {count} processes: {told}") from error
    finally:
        ray.shutdown()


def _resources(cpus: float, device: str) -> dict[str, float]:
    return {"CPU": cpus, "GPU": 1} if device == "gpu" else {"CPU": cpus}
