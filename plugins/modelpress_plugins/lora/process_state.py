"""Leave the process as it was found: a worker runs one pass after the other."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers.utils import logging

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def quiet() -> Iterator[None]:
    """No bars and no remarks of the libraries: what matters is told by events and errors."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextmanager
def freed() -> Iterator[None]:
    """What was made inside is gone afterwards. A Trainer is a ring of references: without a collection the
    model would stay. The objects of the libraries, a million of them, are kept out of it for speed."""
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()
        gc.unfreeze()


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """The same bytes from the same input. On a CPU torch's kernels are so by themselves; on a GPU the
    deterministic ones are asked for, where there are any."""
    precision = torch.get_float32_matmul_precision()
    strict = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    workspace = os.environ.get(_CUBLAS)
    if device.type == "cuda":
        os.environ.setdefault(_CUBLAS, ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=warns)
        torch.set_float32_matmul_precision(precision)
        if workspace is None:
            os.environ.pop(_CUBLAS, None)
