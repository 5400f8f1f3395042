"""Libraries that take seconds to import."""

from __future__ import annotations

HEAVY = (
    "accelerate", "bitsandbytes", "datasets", "jax", "numpy", "onnx", "onnxruntime", "openvino", "pandas",
    "peft", "safetensors", "scipy", "sklearn", "tensorflow", "tokenizers", "torch", "transformers",
)  # fmt: skip
"""Modules that no listing and no plan may import."""
