"""What the processor of this machine can do."""

from __future__ import annotations

from pathlib import Path

_FEATURES = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimddp",
    "i8mm",
)


def cpu_features() -> tuple[str, ...]:
    """Instruction sets that matter for int4 and bf16, by their Linux names; empty where there are none, or
    none are known."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    line = next((ln for ln in text.splitlines() if ln.lower().startswith(("flags", "features"))), "")
    found = line.partition(":")[2].split()
    return tuple(name for name in _FEATURES if name in found)
