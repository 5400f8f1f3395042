"""onnxruntime-genai, without what onnxruntime would tell its maker. All that needs it here takes it from
here.

From 1.32 on, onnxruntime leaves an id and a data base in the home of its user when imported, and
sends events, unless a variable is set before; disable_telemetry_events() alone keeps it from neither.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime_genai as og  # type: ignore[import-untyped]

if hasattr(og, "disable_telemetry_events"):
    og.disable_telemetry_events()

__all__ = ["og"]
