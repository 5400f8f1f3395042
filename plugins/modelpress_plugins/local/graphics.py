"""What `modelpress doctor` tells of torch: whether it could use the GPU that is here."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from modelpress.api import Finding, installed_versions


def check() -> Sequence[Finding]:
    return [check_gpu(nvidia_gpus(), installed_versions(["torch"]).get("torch", ""))]


def nvidia_gpus() -> list[str]:
    """`NVIDIA H100, 81559 MiB, 570.1` (name, memory, driver) per GPU, by the driver's own tool."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return []
    query = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=15, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def check_gpu(gpus: Sequence[str], torch: str) -> Finding:
    """The GPUs, and whether torch of that version could use them."""
    if not gpus:
        return Finding("GPU", "note", "no NVIDIA GPU is seen; work runs on the CPU")
    text = "; ".join(gpus)
    if torch.endswith("+cpu"):
        return Finding("GPU", "warning", f"{text}, but torch {torch} is built for the CPU only",
                       "install torch from the CUDA index, then 'modelpress[gpu]'")  # fmt: skip
    return Finding("GPU", "ok", text)
