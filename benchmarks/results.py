"""Keep what was measured, with the machine it was measured on: raw figures, a JSON file a benchmark."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil


def save(folder: Path, name: str, result: Mapping[str, Any], *, runs: int) -> None:
    """Write folder/<name>.json."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    document = {"machine": machine(), "runs": runs, **result}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {path}", flush=True)


def load(folder: Path, name: str) -> dict[str, Any] | None:
    """What was saved; None when it was never measured."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
        "date": time.strftime("%Y-%m-%d"),
    }


def _processor() -> str:
    """The model's name, and the instructions that int4 kernels ask for."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    facts = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines if ":" in line}
    flags = facts.get("flags", "").split()
    kinds = [name for flag, name in _INSTRUCTIONS.items() if flag in flags]
    return ", ".join([facts.get("model name", platform.processor()), *kinds[-2:]])


_INSTRUCTIONS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "VNNI",
    "avx512_bf16": "bf16",
    "amx_tile": "AMX",
}
