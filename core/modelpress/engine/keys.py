"""Cache keys: what makes the result of a step what it is, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict

from modelpress.context import Accelerator
from modelpress.registry import Registered
from modelpress.specs import Spec


def step_key(
    registered: Registered[Spec],
    options: Mapping[str, object],
    model: str,
    data: Mapping[str, Mapping[str, object]],
    device: str,
    target: Accelerator | None,
    seed: int,
    libraries: Mapping[str, str],
    threads: str = "",
) -> str:
    """SHA-256, 64 hex digits, over all that decides the result of a pass or metric.

    options: canonical, paths replaced by content identities; model: the input's key or identity;
    device: where it runs; target: what the model is for, None where that makes no difference;
    data: role -> fingerprint; threads: `threads_here` for what depends on it, else empty. Names that a user
    gives to steps and data configs do not count.
    """
    record = {
        "kind": registered.spec.kind,
        "name": registered.spec.name,
        "version": registered.spec.version,
        "provider": registered.identity,
        "options": options,
        "model": model,
        "data": data,
        "device": device,
        "target": asdict(target) if target else None,
        "seed": seed,
        "libraries": dict(libraries),
        **({"threads": threads} if threads else {}),
    }
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def threads_here() -> str:
    """What decides how many threads a library computes with on this machine: `omp 4, mkl -, of 8`.

    Sums are made in another order with another number, so that their last digits differ.
    """
    omp, mkl = (os.environ.get(f"{name}_NUM_THREADS", "") or "-" for name in ("OMP", "MKL"))
    # The processors that this process may use, where the platform tells; a container may have few of many.
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"omp {omp}, mkl {mkl}, of {usable}"
