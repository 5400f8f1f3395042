"""onnxruntime, without what it would tell its maker. Everything here that needs it takes it from here.

From 1.32 on its wheels for Linux leave an id and a data base in the user's home when imported, and send
events; a variable that is set before keeps them from both, disable_telemetry_events() from neither.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime  # type: ignore[import-untyped]
from onnxruntime.tools import onnx_model_utils  # type: ignore[import-untyped]
from onnxruntime.transformers import onnx_model  # type: ignore[import-untyped]

__all__ = ["onnx_model", "onnx_model_utils", "onnxruntime"]
