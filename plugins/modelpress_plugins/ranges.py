"""The versions of libraries that the built-in plugins are made for: those of the extras in pyproject.toml.

Requirements as specs take them (PEP 508); of wheels that stand for each other, one will do.
"""

from __future__ import annotations

ACCELERATE = "accelerate>=1.10"
BITSANDBYTES = "bitsandbytes>=0.48"
DATASETS = "datasets>=4.0"
JINJA2 = "jinja2>=3.1"
NUMPY = "numpy"
ONNX = "onnx>=1.20"
ONNX_IR = "onnx-ir>=0.1"
ONNXRUNTIME = "onnxruntime>=1.24 | onnxruntime-gpu>=1.24 | onnxruntime-directml>=1.24"
ONNXRUNTIME_GENAI = (
    "onnxruntime-genai>=0.18 | onnxruntime-genai-cuda>=0.18 | onnxruntime-genai-directml>=0.18"
)
ONNXSCRIPT = "onnxscript>=0.5"
PEFT = "peft>=0.18"
SAFETENSORS = "safetensors>=0.6"
SYMPY = "sympy>=1.12"
TORCH = "torch>=2.9"
TRANSFORMERS = "transformers>=5.0"
