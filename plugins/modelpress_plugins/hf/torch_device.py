"""The device that a pass runs on, as torch names it."""

from __future__ import annotations

import torch

from modelpress.api import UserError


def torch_device(device: str) -> torch.device:
    """cpu or gpu, as torch names it. Raises UserError when a GPU is asked for that is not there."""
    if device == "cpu":
        return torch.device("cpu")
    if device not in ("gpu", "cuda"):
        raise UserError(f"transformers cannot run a model on the device {device!r}.", "Use cpu or gpu.")
    if not torch.cuda.is_available():
        raise UserError(
            "The accelerator is gpu, but torch sees no CUDA device.",
            "Set the device of the system to cpu, or install a torch build for this GPU.",
        )
    return torch.device("cuda", torch.cuda.current_device())
