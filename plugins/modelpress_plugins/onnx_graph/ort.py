"""onnxruntime, without what it would tell its maker, and without torch. Everything here that needs it takes
it from here.

From 1.32 on its wheels for Linux leave an id and a data base in the user's home when imported, and send
events; a variable that is set before keeps them from both, disable_telemetry_events() from neither.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime  # type: ignore[import-untyped]


@contextmanager
def _without_torch() -> Iterator[None]:
    """`onnxruntime.tools` imports torch where it finds one, for exports, which nobody here asks of it: 200 MB
    and seconds of every pass on a graph."""
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["torch"]


with _without_torch():
    from onnxruntime.tools import onnx_model_utils  # type: ignore[import-untyped]
    from onnxruntime.transformers import onnx_model  # type: ignore[import-untyped]

__all__ = ["onnx_model", "onnx_model_utils", "onnxruntime"]
