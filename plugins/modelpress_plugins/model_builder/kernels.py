"""What `modelpress doctor` tells of onnxruntime: kernels that are wrong on some processors."""

from __future__ import annotations

from collections.abc import Sequence

from modelpress.api import Finding, cpu_features


def check() -> Sequence[Finding]:
    return check_int4(cpu_features())


def check_int4(features: Sequence[str]) -> list[Finding]:
    """The fault of int4 kernels on processors that stop at AVX2. features: by Linux' names."""
    newer = any(name.startswith(("avx512", "avx_vnni", "amx")) for name in features)
    if "avx2" not in features or newer:
        return []
    text = "this CPU has AVX2 only: asymmetric int4 with accuracy_level 4 is decoded wrongly"
    return [
        Finding(
            "onnxruntime", "note", text,
            "microsoft/onnxruntime#29853; ModelBuilder tests its result for that",
        )
    ]  # fmt: skip
