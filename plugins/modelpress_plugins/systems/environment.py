"""The environment of a worker on this machine: what any Python needs, and what libraries of ours look at."""

from __future__ import annotations

import os
from collections.abc import Mapping

from modelpress.api import worker_environment

LIBRARIES = (
    *(
        "HF_*",
        "HUGGING_FACE_HUB_TOKEN",
        "HUGGINGFACE_HUB_CACHE",
        "TRANSFORMERS_*",
        "TOKENIZERS_*",
        "DATASETS_*",
        "SAFETENSORS_*",
    ),
    *(
        "ACCELERATE_*",
        "BNB_*",
        "BITSANDBYTES_*",
        "TORCH_*",
        "TORCHINDUCTOR_*",
        "PYTORCH_*",
        "TRITON_*",
        "ATEN_*",
    ),
    *("ORT_*", "ONNX*", "OPENVINO*", "QNN_*", "DML_*"),
    *("CUDA_*", "CUBLAS_*", "CUDNN_*", "NVIDIA_*", "NCCL_*", "ROCR_*", "HIP_*", "HSA_*", "ZE_*", "SYCL_*"),
)
"""Patterns of names that libraries of models and accelerators look at."""

_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def local_environment(variables: Mapping[str, str] | list[str], *, hf_token: bool | None) -> dict[str, str]:
    """variables: as worker_environment takes them. hf_token: False keeps the token of the Hugging Face hub
    out, that of the environment and that of the file; True and None let it in."""
    environment = worker_environment(variables, LIBRARIES)
    # OpenMP threads that wait by spinning cost little alone and ruin each other on a busy machine: 100 steps
    # of LoRA on 2 shared cores took 194 s with the library's default, 25 s with threads that sleep.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    environment.setdefault("TOKENIZERS_PARALLELISM", "false")
    if hf_token is False:
        for name in _TOKENS:
            environment.pop(name, None)
        environment.update(HF_TOKEN_PATH=os.devnull, HF_HUB_DISABLE_IMPLICIT_TOKEN="1")
    return environment
