"""Cache keys: what makes the result of a step what it is, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from modelpress.context import Accelerator
from modelpress.registry import Registered


def step_key(
    registered: Registered[Any],
    options: Mapping[str, Any],
    model: str,
    data: Mapping[str, Mapping[str, Any]],
    accelerator: Accelerator,
    seed: int,
    libraries: Mapping[str, str],
) -> str:
    """SHA-256, 64 hex digits, over all that decides the result of a pass or metric.

    options: canonical, paths replaced by content identities; model: the input's key or identity;
    data: role -> fingerprint. Names that a user gives to steps and data configs do not count.
    """
    record = {
        "kind": registered.spec.kind,
        "name": registered.spec.name,
        "version": registered.spec.version,
        "provider": registered.identity,
        "options": options,
        "model": model,
        "data": data,
        "accelerator": asdict(accelerator),
        "seed": seed,
        "libraries": dict(libraries),
    }
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
